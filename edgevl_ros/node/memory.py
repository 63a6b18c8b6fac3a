"""Memory of large images goes back to the system as soon as they are let go."""

import ctypes

LARGE_BYTES = 4 << 20  # an image of VGA has 0.9 MB, one of 1080p 6 MB
# mallopt(3), glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def return_large_blocks() -> None:
    """Give blocks from 4 MB on a mapping of their own. Without glibc nothing is done.

    glibc raises that bound to 32 MB by itself once blocks of that size were freed, and then keeps several of them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)  # smaller images are not handed to and fro for each frame
