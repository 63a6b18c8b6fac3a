"""RVL, lossless compression of 16-bit depth: A. D. Wilson, Fast Lossless Depth Image Compression (ISS 2017).

The pixels, row by row, are runs: a number of zeros, a number of others, and for each of these its difference from the
other before. Every number is written in groups of three bits, the lowest first, each with a fourth that says whether
more follow; differences are zigzag (0, -1, 1, -2, ...). Eight groups fill a 32-bit word from its top.
"""

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.limits import ImageFormatError

_MOST_PIXELS = 2048 * 2048
"""More than a depth camera has; decoding takes up to 60 bytes of memory a pixel."""
_MOST_GROUPS = 10  # of a number, which then fits into 32 bits
_MOST_RUNS = 500_000
"""Every second pixel of a megapixel a hole: no camera's picture, and the runs are walked one by one."""
_BLOCK = 1 << 20  # groups that are looked at together


def decode_rvl(data: NDArray[np.uint8], width: int, height: int, name: str) -> NDArray[np.uint16]:
    """(H, W) uint16 of the words in ``data``, (N,) uint8.

    Raises:
        ImageFormatError: too many pixels, or runs that do not end with the picture.
    """
    pixels = width * height
    if pixels > _MOST_PIXELS:
        raise ImageFormatError(f"{name}: {width}x{height} pixels are too many for RVL: publish compressedDepth as png")
    numbers = _numbers(data[: 2 * pixels + 64])  # longer than the pixels themselves: no encoder's work
    zeros, others = _runs(numbers, pixels, name)
    filled = np.zeros(len(zeros) * 2, bool)
    filled[1::2] = True
    measured = np.repeat(filled, np.stack((zeros, others), 1).ravel())
    # Between a run's two lengths and the next run's lie its differences.
    is_difference = np.repeat(filled, np.stack((np.full_like(others, 2), others), 1).ravel())
    zigzag = numbers[: len(is_difference)][is_difference]
    differences = ((zigzag >> 1) ^ -(zigzag & 1)).astype(np.uint16)
    depth = np.zeros(pixels, np.uint16)
    depth[measured] = np.cumsum(differences, dtype=np.uint16)
    return depth.reshape(height, width)


def _numbers(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """All numbers, whatever they mean, up to the first that cannot be."""
    packed = np.frombuffer(data[: len(data) // 4 * 4].tobytes(), "<u4").byteswap().view(np.uint8)
    groups = np.empty(2 * len(packed), np.uint8)
    groups[0::2], groups[1::2] = packed >> 4, packed & 15
    found, begin = [np.zeros(0, np.int32)], 0
    while begin < len(groups):
        block = groups[begin : begin + _BLOCK]
        ends = np.flatnonzero(block < 8)
        if not len(ends):
            break
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        numbers = (block[starts] & 7).astype(np.int32)
        longer = np.flatnonzero(lengths > 1)
        for group in range(1, _MOST_GROUPS):
            numbers[longer] |= (block[starts[longer] + group] & 7).astype(np.int32) << 3 * group
            longer = longer[lengths[longer] > group + 1]
            if not len(longer):
                break
        if len(longer):
            found.append(numbers[: longer[0]])
            break
        found.append(numbers)
        begin += int(ends[-1]) + 1
    return np.concatenate(found)


def _runs(numbers: NDArray[np.int32], pixels: int, name: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of each run how many zeros and how many others it has."""
    value = memoryview(numbers)  # type: ignore[arg-type]
    starts: list[int] = []
    at, left, last = 0, pixels, len(numbers) - 1
    while left > 0 and at < last and len(starts) < _MOST_RUNS:
        starts.append(at)
        zeros, others = value[at], value[at + 1]
        left -= zeros + others
        at += 2 + others
    if left or at > last + 1:
        raise ImageFormatError(f"{name}: the RVL data is damaged or cut off, its runs do not make {pixels} pixels")
    first = np.array(starts, np.int64)
    return numbers[first], numbers[first + 1]
