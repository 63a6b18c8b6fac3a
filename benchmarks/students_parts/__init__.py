"""Parts of benchmarks/students.py."""
