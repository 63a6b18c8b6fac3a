"""Students made smaller by taking whole channels out."""
