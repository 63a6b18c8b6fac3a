"""What robot and workstation share: images, depth, pairing, the pair log, the student bundle, the classifier."""

__version__ = "0.1.0"
