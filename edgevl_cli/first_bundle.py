"""What ``edgevl bundle make`` draws to calibrate with where it is given no pictures, and what it says at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgevl_train.first_bundle.make import FirstBundle, Pictures

PICTURES = 96
_HOMES, _FRAMES = 3, 4  # eight rooms each


def drawn_rooms(homes: int, frames_per_room: int) -> list[NDArray[np.uint8]]:
    """RGB images of simulated rooms, each (240, 320, 3) uint8, of homes that no demo has."""
    from edgevl_sim import drive, home_seed

    seeds = [home_seed(2026, "val", index) for index in range(homes)]
    return [frame.rgb for seed in seeds for frame in drive(seed, frames_per_room=frames_per_room)]


def drawn_to_calibrate() -> "Pictures":
    """Drawn rooms in place of pictures; they say nothing of the robot's camera, and the bundle tells so."""
    from edgevl_train.first_bundle.make import Pictures

    images = drawn_rooms(_HOMES, _FRAMES)
    return Pictures(images, f"{len(images)} drawn rooms of simulated homes, no pictures of a camera", False)


def show_first_bundle(out: Path, found: "FirstBundle", source: str, unreadable: Sequence[str]) -> None:
    """The bundle in words: how near int8 is to float, on what, and what it does not know."""
    from edgevl_cli.tables import show_skipped

    show_skipped(unreadable)
    print(f"calibrated on {found.calibrated_on} pictures, measured on {found.held_out} others: {source}")
    print(f"int8 to the float tower: cosine {found.cosine:.4f} (least {found.worst:.4f}); {found.rounding}")
    print(f"float tower to the teacher's own view of them: cosine {found.to_teacher:.4f}")
    if not found.int8:
        print("that is below 0.99: the float tower answers in this bundle, as large and slow as it is")
    print("it knows RGB only, depth images are ignored: edgevl adapt makes a student that knows both, and your home")
    print(f"bundle: {out}; on a bag: edgevl evaluate {out} BAG")
