"""The parts of benchmarks/robot.py."""
