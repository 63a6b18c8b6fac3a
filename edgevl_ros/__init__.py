"""The robot's ROS 2 nodes, without torch; what they compute is in ``edgevl_core``."""
