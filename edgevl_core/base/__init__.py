"""Small things that everything else stands on: errors, atomic files, hashes, shipped files, counters."""
