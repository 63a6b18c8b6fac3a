"""What somebody who watches a robot has heard of its nodes: no ROS, no clock, nothing drawn."""
