"""Networks that the package does not have."""
