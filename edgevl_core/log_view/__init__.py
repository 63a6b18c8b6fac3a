"""``edgevl log view``: a recorded drive as a page that a person can look at."""
