"""One adaptation on the robot or a workstation: planned, run, watched, accepted or refused. No ROS."""
