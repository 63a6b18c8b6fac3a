"""Parts of benchmarks/rooms.py."""
