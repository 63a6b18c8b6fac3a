"""How much memory images may take that wait for one another."""

from collections.abc import Sequence

MAX_WAITING_BYTES = 64_000_000
"""Of one stream: 70 RGB images of VGA, two of 8 megapixels."""


def too_large(sizes: Sequence[int]) -> bool:
    """Whether waiting images, by their bytes, take more than they may. One alone may always wait."""
    return len(sizes) > 1 and sum(sizes) > MAX_WAITING_BYTES
