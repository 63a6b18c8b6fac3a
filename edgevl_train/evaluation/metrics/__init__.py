"""Figures of an evaluation, each a function of plain arrays."""
