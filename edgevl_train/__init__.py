"""The workstation's half: a teacher distilled into a student, quantised, judged, bundled. Never imports ROS."""
