"""Recipes against each other, on equal terms."""
