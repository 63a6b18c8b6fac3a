"""glibc's malloc set so that a node's memory stays what the node uses, over hours and after large images."""

import ctypes

LARGE_BYTES = 4 << 20  # an image of VGA has 0.9 MB, one of 1080p 6 MB
# mallopt(3), glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_memory_small() -> None:
    """One heap for all threads, and blocks from 4 MB on a mapping of their own. Without glibc nothing is done.

    glibc gives a thread a heap of its own, up to eight for each core, and what one thread lets go another cannot take:
    thirty peers that were killed cost a node 38 MB that nothing used, with one heap 5 MB. And it raises the bound from
    which a block is mapped to 32 MB by itself once blocks of that size were freed, and then keeps several of them.
    Call it before other threads begin.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)  # smaller images are not handed to and fro for each frame
