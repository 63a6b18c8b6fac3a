"""The parts of benchmarks/real_rooms.py."""
