"""What ``edgevl doctor --live`` looks at: the graph and the cameras."""
