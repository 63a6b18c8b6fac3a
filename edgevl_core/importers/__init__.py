"""Turn other people's RGB-D collections into pair logs."""
