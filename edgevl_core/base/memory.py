"""How glibc's malloc treats memory that was let go: two ways, for processes of two kinds.

Where there is no glibc nothing is done.
"""

import ctypes

LARGE_BYTES = 4 << 20  # an image of VGA has 0.9 MB, one of 1080p 6 MB
# mallopt(3), glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ALL = 2**31 - 1  # the most that mallopt takes, 2 GiB


def keep_memory_small() -> None:
    """For a node, over hours and after large images: one heap, and blocks from 4 MB on a mapping of their own.

    glibc gives a thread a heap of its own, up to eight for each core, and what one thread lets go another cannot take:
    thirty peers that were killed cost a node 38 MB that nothing used, with one heap 5 MB. And it raises the bound from
    which a block is mapped to 32 MB by itself once blocks of that size were freed, and then keeps several of them.
    Call it before other threads begin.
    """
    _set({_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: LARGE_BYTES, _M_TRIM_THRESHOLD: 2 * LARGE_BYTES})


def keep_memory_at_hand() -> None:
    """For a training: what one step lets go stays with the process, for the next step needs as much.

    A network's maps are blocks of many megabytes, which glibc takes from the kernel one by one and gives back at once.
    The kernel hands them out page by page, and zeroed: a third of the processor's time, and both cores waited for it.
    """
    _set({_M_MMAP_THRESHOLD: _ALL, _M_TRIM_THRESHOLD: _ALL})


def _set(parameters: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in parameters.items():
            mallopt(name, value)
