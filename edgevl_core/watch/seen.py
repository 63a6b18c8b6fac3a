"""What there is to see of a robot at one moment: plain values, as ``edgevl watch --json`` writes them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scene:
    """An answer of scene_classifier.

    Attributes:
        modality: "rgb", "depth" or "rgbd".
        scores: the most probable labels, best first.
        age_s: seconds since it came.
        hz: answers a second lately.
    """

    label: str
    confidence: float
    known: bool
    modality: str
    scores: Mapping[str, float]
    latency_ms: float
    bundle_id: str
    age_s: float = 0.0
    hz: float = 0.0


@dataclass(frozen=True)
class Log:
    """pair_logger's account; ``dropped`` and ``scenes``: pairs by reason, and kept ones by scene."""

    state: str
    pairs_kept: int
    dropped: Mapping[str, int]
    bytes: int
    mb_per_s: float
    free_bytes: int
    path: str
    scenes: Mapping[str, int]


@dataclass(frozen=True)
class Adaptation:
    """adaptation_manager's account; ``progress`` 0..1 of the whole, ``eta_s`` None where it is not known."""

    state: str
    stage: str
    progress: float
    eta_s: float | None
    message: str
    bundle_path: str


@dataclass(frozen=True)
class Rooms:
    """room_mapper's map: its rooms' names, and the name of the one where the camera is (empty: not known)."""

    names: tuple[str, ...]
    here: str


@dataclass(frozen=True)
class Node:
    """What a node says of itself. ``level``: "ok", "warn" or "error"; ``age_s``: seconds since it said so."""

    level: str
    message: str
    age_s: float


@dataclass(frozen=True)
class Seen:
    """All of it.

    Attributes:
        watched_s: for how long was listened.
        nodes: those that speak, by name.
        not_heard: nodes that have said nothing so far, or nothing any more, with what is to be said of each.
        cameras: images a second by stream ("rgb", "depth"), as the nodes receive them.
        frames_dropped: what scene_classifier did not answer, by reason.
        elsewhere: namespaces in which edgevl's nodes run that are not listened to.
    """

    watched_s: float
    nodes: Mapping[str, Node] = field(default_factory=dict)
    not_heard: Mapping[str, str] = field(default_factory=dict)
    scene: Scene | None = None
    cameras: Mapping[str, float] = field(default_factory=dict)
    frames_dropped: Mapping[str, int] = field(default_factory=dict)
    log: Log | None = None
    adaptation: Adaptation | None = None
    rooms: Rooms | None = None
    elsewhere: tuple[str, ...] = ()


def as_json(seen: Seen) -> dict[str, Any]:
    """For machines; figures as they are, None where nothing was heard."""
    return asdict(seen)
