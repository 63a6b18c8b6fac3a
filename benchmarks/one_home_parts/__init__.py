"""The parts of benchmarks/one_home.py."""
