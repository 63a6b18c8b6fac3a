"""Gathers what nodes say, and tells what of it still holds; the time is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgevl_core.base.counters import StreamCount
from edgevl_core.watch.seen import Adaptation, Log, Node, Rooms, Scene, Seen

CLASSIFIER, LOGGER, MANAGER, MAPPER = "scene_classifier", "pair_logger", "adaptation_manager", "room_mapper"
OVERLAY, PLAYER, BASE = "label_overlay", "bag_player", "base_station"
NODES = (LOGGER, CLASSIFIER, MAPPER, OVERLAY, MANAGER, PLAYER, BASE)
# A robot need not have these: their absence is not worth a line.
UNASKED = (OVERLAY, PLAYER, BASE)
# Nodes speak twice a second; on a busy machine, or just discovered, it takes longer.
SILENT_S = 5.0
STREAMS = ("rgb", "depth")
# Frames of scene_classifier that got no answer; those that nobody waited for ("idle") are not missed.
_FATES = ("superseded", "failed", "rate_limited")


@dataclass(frozen=True)
class _Account:
    """A node's statistics, and when they came."""

    at_s: float
    level: str
    message: str
    values: Mapping[str, str]


class Heard:
    """What came last from each node. ``now_s``, everywhere: seconds of a clock that never goes back."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._accounts: dict[str, _Account] = {}
        self._answers = StreamCount()
        self._scene: Scene | None = None
        self._log: Log | None = None
        self._adaptation: Adaptation | None = None
        self._rooms: tuple[str, ...] | None = None

    def stats(self, node: str, level: str, message: str, values: Mapping[str, str], now_s: float) -> None:
        """One of NODES has told how it is."""
        self._accounts[node] = _Account(now_s, level, message, values)

    def scene(self, scene: Scene, now_s: float) -> None:
        """scene_classifier has answered."""
        self._scene = scene
        self._answers.add(0, now_s)

    def log(self, log: Log) -> None:
        """pair_logger has told what it keeps."""
        self._log = log

    def adaptation(self, adaptation: Adaptation) -> None:
        """adaptation_manager has told how it goes."""
        self._adaptation = adaptation

    def rooms(self, names: tuple[str, ...]) -> None:
        """room_mapper has published its rooms."""
        self._rooms = names

    def seen(self, now_s: float, elsewhere: tuple[str, ...] = ()) -> Seen:
        """What holds now. What a node said that speaks no more is left out: it may be long ago."""
        speaking = {name: it for name, it in self._accounts.items() if now_s - it.at_s <= SILENT_S}
        return Seen(
            watched_s=now_s - self._since_s,
            nodes={name: Node(it.level, it.message, now_s - it.at_s) for name, it in speaking.items()},
            not_heard=self._not_heard(now_s),
            scene=self._scene_now(now_s),
            cameras=_cameras(speaking),
            frames_dropped=_dropped(speaking[CLASSIFIER].values) if CLASSIFIER in speaking else {},
            log=self._log if LOGGER in speaking else None,
            adaptation=self._adaptation if MANAGER in speaking else None,
            rooms=self._rooms_now(speaking),
            elsewhere=elsewhere,
        )

    def _not_heard(self, now_s: float) -> dict[str, str]:
        found = {}
        watched_s = now_s - self._since_s
        for name in NODES:
            account = self._accounts.get(name)
            if account is not None and now_s - account.at_s > SILENT_S:
                found[name] = f"{name} is silent for {now_s - account.at_s:.0f} s"
            elif account is None and name not in UNASKED and watched_s > SILENT_S:
                found[name] = f"no {name} heard in {watched_s:.0f} s"
        return found

    def _scene_now(self, now_s: float) -> Scene | None:
        age_s = self._answers.age_s(now_s)
        if self._scene is None or age_s > SILENT_S:
            return None
        return replace(self._scene, age_s=age_s, hz=self._answers.rate_hz(now_s))

    def _rooms_now(self, speaking: Mapping[str, _Account]) -> Rooms | None:
        if MAPPER not in speaking or self._rooms is None:
            return None
        return Rooms(self._rooms, speaking[MAPPER].values.get("room", ""))


def _cameras(speaking: Mapping[str, _Account]) -> dict[str, float]:
    """Images a second, as scene_classifier receives them, or pair_logger where there is no classifier."""
    found: dict[str, float] = {}
    for name in (CLASSIFIER, LOGGER):
        values = speaking[name].values if name in speaking else {}
        for stream in STREAMS:
            if (text := values.get(f"rate_{stream}_hz")) is not None:
                found.setdefault(stream, float(text))
    return found


def _dropped(values: Mapping[str, str]) -> dict[str, int]:
    """Images without a partner and frames without an answer, by reason; only those that there were."""
    of_images = [name for name in values if name.startswith(("rgb_", "depth_")) and not name.endswith("_alone")]
    counts = {name: int(values[name]) for name in (*_FATES, *sorted(of_images)) if name in values}
    return {name.replace("_", " "): count for name, count in counts.items() if count}
