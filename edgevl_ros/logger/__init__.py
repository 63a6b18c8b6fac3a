"""The parts of pair_logger: streams in, pairs judged, logs on disk within a budget."""
