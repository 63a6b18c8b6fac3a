"""The five nodes, and the programs that start them."""
