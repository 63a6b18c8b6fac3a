"""The parts of scene_classifier that speak ROS: frames decoded, answers as messages."""
