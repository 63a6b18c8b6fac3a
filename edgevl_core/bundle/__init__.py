"""The student bundle, what a robot gets: networks, manifest, labels and their vectors, checked when it is opened."""
