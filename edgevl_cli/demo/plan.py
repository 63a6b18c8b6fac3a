"""How large the demo is: homes, frames, seconds. One place to turn it up or down."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of the demo's drives; every home has all eight rooms.

    Homes of the splits train, val and test are never the same, whatever the seed.
    """

    train_homes: int = 64
    logged_homes: int = 6
    val_homes: int = 8
    test_homes: int = 16
    live_homes: int = 3
    frames_per_room: int = 8
    live_frames_per_room: int = 10
    drive_hz: float = 2.0
    log_rate: float = 8.0
    """The drive to be logged is played this many times faster than it was driven: 16 pairs a second."""
    live_hz: float = 10.0
    workers: int = 2
