"""The parts of pair_logger that speak ROS: its parameters and streams, the directory of its logs."""
