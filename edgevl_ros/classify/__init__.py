"""The parts of scene_classifier: frames from two streams, which of them are looked at, the model, its answers."""
