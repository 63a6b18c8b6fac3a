"""How large the demo is: homes, frames, seconds. One place to turn it up or down."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of the demo's drives; every home has all eight rooms.

    Many homes with few frames each teach more than few homes with many. The splits train and test never share a home.

    Attributes:
        train_homes: homes to learn from; ``logged_homes`` of them are logged live over ROS 2.
        test_homes: homes that the offline figures are from; the live drive goes through the first ``live_homes``.
        drive_hz, log_rate: the drives to learn from are sampled at drive_hz and logged log_rate times as fast.
        live_hz, live_rate: the live drive, likewise; together 10 RGB-D pairs a second.
        home_frames_per_room: of the drive, at home_hz, through one more home for which the student is adapted;
            other_day_frames_per_room: of the drives through it on another day, one lit and one in the dark.
        workers: processes that render.
    """

    train_homes: int = 110
    logged_homes: int = 10
    test_homes: int = 20
    live_homes: int = 4
    frames_per_room: int = 5
    drive_hz: float = 0.25
    log_rate: float = 80.0
    live_frames_per_room: int = 8
    live_hz: float = 2.0
    live_rate: float = 5.0
    home_frames_per_room: int = 40
    home_hz: float = 1.0
    other_day_frames_per_room: int = 15
    workers: int = 2
