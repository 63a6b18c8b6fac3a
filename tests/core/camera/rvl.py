"""RVL, encoded number by number as its paper describes it: what the decoder is measured against."""

import struct

import numpy as np


def encode_rvl(depth: np.ndarray) -> bytes:
    """The 32-bit words, little-endian, of (H, W) uint16."""
    nibbles: list[int] = []

    def write(value: int) -> None:
        while True:
            group, value = value & 7, value >> 3
            nibbles.append(group | (8 if value else 0))
            if not value:
                return

    pixels = [int(value) for value in depth.ravel()]
    at = previous = 0
    while at < len(pixels):
        first = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        write(at - first)
        first = at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        write(at - first)
        for value in pixels[first:at]:
            difference, previous = value - previous, value
            write(2 * difference if difference >= 0 else -2 * difference - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = []
    for start in range(0, len(nibbles), 8):
        word = 0
        for nibble in nibbles[start : start + 8]:
            word = word << 4 | nibble
        words.append(word)
    return struct.pack(f"<{len(words)}I", *words)
