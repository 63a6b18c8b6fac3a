"""Two streams of stamped images become pairs: matched by stamp, live or recorded."""
