"""A lock on a bag's directory: held while it is written, so that nobody removes it. Ends with its process.

An advisory lock of the kernel, not a file: a power cut leaves nothing behind, and the bag holds nothing foreign.
"""

import fcntl
import os
from pathlib import Path


def try_lock(directory: Path) -> int | None:
    """Lock a directory for this process; a descriptor to close, None where it is locked, or cannot be."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by somebody, or a file system without locks
        os.close(descriptor)
        return None
    return descriptor
