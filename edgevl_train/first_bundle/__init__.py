"""A bundle straight from a CLIP's image tower, without training: ``edgevl bundle make``."""
