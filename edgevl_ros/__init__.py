"""The robot's ROS 2 nodes: wiring only, without torch; what they compute is in ``edgevl_core``."""
