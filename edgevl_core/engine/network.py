"""What a runtime gives: a network that was opened, and how it is run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INPUT_NAME, OUTPUT_NAME = "pixels", "embedding"


class Port(NamedTuple):
    """An input or output; a size that is not fixed is None, ``dtype`` is numpy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Network:
    """A file in a runtime.

    Attributes:
        inputs, outputs: as the file has them.
        free_batch: whether one run takes any number of images.
        providers: what executes it, first choice first.
        run: (N, 3, S, S) uint8 -> (N, D) float32; for a student only.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    free_batch: bool
    providers: tuple[str, ...]
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
