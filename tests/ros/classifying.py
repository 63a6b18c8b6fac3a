"""What the tests of scene_classifier share: who must hear whom, and that everything is accounted for."""

from collections.abc import Callable
from typing import Any

NODE = "scene_classifier"
FATES = ("answered", "superseded", "failed", "idle", "rate_limited")
Stats = Callable[[], dict[str, str]]


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def listening(stats: Stats, scene_subscribers: int = 1) -> list[tuple[Stats, str, int]]:
    """What must be matched before the first image, so that every one is received and every answer heard."""
    streams = ("publishers_rgb", "publishers_depth")
    return [(stats, "scene_subscribers", scene_subscribers), *((stats, stream, 1) for stream in streams)]


def numbers(stats: Stats, *names: str) -> dict[str, int]:
    return {name: int(stats().get(name, 0)) for name in names}


def accounted(stats: Stats) -> bool:
    """Whether the classifier has dealt with every frame."""
    counts = numbers(stats, "frames", *FATES)
    return counts["frames"] > 0 and sum(counts.values()) == 2 * counts["frames"]


def unaccounted(stats: Stats) -> dict[str, int]:
    """Images and frames that the statistics do not explain, by kind; each is 0 at any moment."""
    values = stats()
    dropped = sum(
        int(value)
        for name, value in values.items()
        if name.startswith(("rgb_", "depth_")) and not name.endswith("_alone")
    )
    count = numbers(stats, "received_rgb", "received_depth", "pairs", "rgb_alone", "depth_alone", "waiting", "frames")
    alone = count["rgb_alone"] + count["depth_alone"]
    fates = sum(numbers(stats, *FATES, "in_progress").values())
    return {
        "images": count["received_rgb"]
        + count["received_depth"]
        - 2 * count["pairs"]
        - alone
        - dropped
        - count["waiting"],
        "frames": count["frames"] - fates,
        "frames of images": count["frames"] - count["pairs"] - alone,
    }
