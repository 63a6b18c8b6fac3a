"""Turn other people's RGB-D collections into pair logs: one module per collection, one writer for all."""
