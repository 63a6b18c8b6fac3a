"""Scenes drawn into pictures."""
