"""The six nodes, and the programs that start them."""
