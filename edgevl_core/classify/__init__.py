"""From a frame to a scene: the loaded student, its label set, smoothing."""
