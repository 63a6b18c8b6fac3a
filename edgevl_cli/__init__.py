"""The command line ``edgevl``: parses, calls, prints."""
