"""The workstation's side: teacher, students, training, quantisation, evaluation. Needs torch, never ROS."""
