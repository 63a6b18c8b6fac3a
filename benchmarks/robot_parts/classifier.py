"""scene_classifier at a camera's full rate: age of the answers, what the node adds, changes while it runs, memory."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels

from edgevl_cli.demo.processes import node
from edgevl_ros.node.client import Client
from edgevl_ros.node.qos import result_qos
from edgevl_ros.node.stamps import from_time
from robot_parts.camera import HZ
from robot_parts.processes import Camera, camera, cpu_s, memory_mb
from robot_parts.rows import Row

NODE, PART = "scene_classifier", "scene_classifier"
WAIT_S, WARM_S, WARM_MEMORY_S = 60.0, 10.0, 60.0
MAX_AGE_MS, MAX_OVERHEAD_MS, MAX_LABEL_MS, MAX_GAP_PERIODS, MAX_GROWTH_MB = 100.0, 4.0, 50.0, 2.0, 5.0
LABEL_CHANGES, SWAPS = 40, 6


@dataclass(frozen=True)
class Heard:
    """One answer: when it was heard (monotonic and wall clock), the stamp of its image, its label set and bundle."""

    at_s: float
    age_ms: float
    stamp_ns: int
    version: int
    bundle_id: str


class Session:
    """A classifier that answers a running camera, and what was heard of it.

    Attributes:
        heard: the answers so far.
        pid: of the node's process.
        stats: the node's latest statistics.
    """

    def __init__(self, client: Client, pid: int, stats: Callable[[], dict[str, str]]) -> None:
        self.heard: list[Heard] = []
        self.pid, self.stats, self._client = pid, stats, client
        client.subscribe(SceneClass, f"{NODE}/scene", self._on_scene, result_qos())

    def _on_scene(self, scene: SceneClass) -> None:
        stamp_ns = from_time(scene.header.stamp)
        age_ms = (time.time_ns() - stamp_ns) / 1e6
        self.heard.append(Heard(time.monotonic(), age_ms, stamp_ns, scene.label_set_version, scene.bundle_id))

    def listen(self, seconds: float) -> list[Heard]:
        """What is heard within so many seconds."""
        first, until_s = len(self.heard), time.monotonic() + seconds
        self._client.until(lambda: time.monotonic() >= until_s, "the time to pass", seconds + WAIT_S)
        return self.heard[first:]

    def call(self, kind: type, name: str, **fields: object) -> object:
        response = self._client.call(kind, f"{NODE}/{name}", WAIT_S, **fields)
        if not response.ok:
            raise RuntimeError(f"{name}: {response.message}")
        return response

    def until(self, condition: Callable[[], object], what: str) -> None:
        self._client.until(condition, what, WAIT_S)


def measure(
    bundles: tuple[Path, Path], seconds: float, memory_s: float, logs: Path, given: Mapping[str, str]
) -> list[Row]:
    """The rows of one session; ``memory_s`` 0 leaves the long look at memory out, ``seconds`` 0 all the others."""
    client = Client("benchmark")
    try:
        stats = client.watch_stats(f"{NODE}/stats")
        with node(NODE, {"bundle": str(bundles[0]), **given}, logs) as process:
            session = Session(client, process.pid, stats)
            session.until(lambda: stats().get("scene_subscribers") == "1", "the classifier")
            with camera(1 << 30) as source:
                ready = ("publishers_rgb", "publishers_depth")
                session.until(lambda: all(stats().get(key) == "1" for key in ready), "the camera")
                source.begin()
                session.listen(WARM_S)
                rows = [*_steady(session, seconds), *_changes(session, bundles)] if seconds else []
                rows += _memory(session, memory_s) if memory_s else []
                return rows + _account(session, source)
    finally:
        client.close()


def _steady(session: Session, seconds: float) -> list[Row]:
    before_s, begin_s = cpu_s(session.pid), time.monotonic()
    ages_ms = [answer.age_ms for answer in session.listen(seconds)]
    cpu = (cpu_s(session.pid) - before_s) / (time.monotonic() - begin_s)
    last = {key: float(session.stats()[f"{key}_ms"]) for key in ("inference_p50", "overhead_p50", "overhead_p95")}
    return [
        Row(PART, "answers", len(ages_ms)),
        Row(PART, "image sent to answer heard, p50", float(np.quantile(ages_ms, 0.5)), "ms"),
        Row(PART, "image sent to answer heard, longest", max(ages_ms), "ms"),
        Row(PART, f"answers older than {MAX_AGE_MS:g} ms", sum(age > MAX_AGE_MS for age in ages_ms), most=0),
        Row(PART, "network, both images, p50", last["inference_p50"], "ms"),
        Row(PART, "receive to publish without the network, p50", last["overhead_p50"], "ms"),
        Row(PART, "receive to publish without the network, p95", last["overhead_p95"], "ms", most=MAX_OVERHEAD_MS),
        Row(PART, "processor of the node's process", round(cpu, 3), "cores"),
    ]


def _changes(session: Session, bundles: tuple[Path, Path]) -> list[Row]:
    _change_labels(session, 0)  # a client's first call waits for both sides to know each other
    delays_ms = [_change_labels(session, number) for number in range(LABEL_CHANGES)]
    swaps = [_swap(session, bundles[(number + 1) % 2]) for number in range(SWAPS)]
    return [
        Row("labels", "call to first answer with the new words, p50", float(np.quantile(delays_ms, 0.5)), "ms"),
        Row("labels", "call to first answer with the new words, longest", max(delays_ms), "ms", most=MAX_LABEL_MS),
        Row("hot swap", "call to loaded, p50", float(np.median([seconds for seconds, _ in swaps])), "s"),
        Row("hot swap", "largest gap", max(gap for _, gap in swaps), "frame periods", most=MAX_GAP_PERIODS),
    ]


def _change_labels(session: Session, number: int) -> float:
    """Milliseconds from the call to the first answer with the label set that it made."""
    # Wherever in the camera's period: the calls must not follow the answers' beat.
    session.listen(0.1 + (number % 7) / 7 / HZ)
    begin_s, first = time.monotonic(), len(session.heard)
    version = session.call(SetLabels, "set_labels", labels=[f"room {k}" for k in range(2 + number % 18)]).version
    session.until(lambda: any(answer.version == version for answer in session.heard[first:]), "a new answer")
    return (next(answer.at_s for answer in session.heard[first:] if answer.version == version) - begin_s) * 1e3


def _swap(session: Session, bundle: Path) -> tuple[float, float]:
    """Seconds until the bundle is loaded, and the largest gap in the stamps of the answers around that, in periods."""
    session.listen(0.5)
    first, begin_s = max(0, len(session.heard) - 1), time.monotonic()
    bundle_id = session.call(LoadBundle, "load_bundle", path=str(bundle)).bundle_id
    seconds = time.monotonic() - begin_s
    session.until(lambda: session.heard[-1].bundle_id == bundle_id, "an answer of the new bundle")
    session.listen(0.5)
    stamps = [answer.stamp_ns for answer in session.heard[first:]]
    return seconds, max(after - before for before, after in pairwise(stamps)) * HZ / 1e9


def _memory(session: Session, seconds: float) -> list[Row]:
    session.listen(WARM_MEMORY_S)
    before_mb = memory_mb(session.pid)
    answers = session.listen(seconds)
    after_mb = memory_mb(session.pid)
    grown_mb = {kind: after_mb[kind] - before_mb[kind] for kind in before_mb}
    span = f"in {seconds / 60:.3g} minutes"
    return [
        Row("memory", "the process's own, after a minute of load", before_mb["own"], "MB"),
        Row("memory", f"growth of it {span}", grown_mb["own"], "MB", most=MAX_GROWTH_MB),
        Row("memory", "shared memory of all processes, seen by it", before_mb["shared"], "MB"),
        Row("memory", f"growth of that {span}", grown_mb["shared"], "MB"),
        Row("memory", f"answers {span}", len(answers)),
    ]


def _account(session: Session, source: Camera) -> list[Row]:
    sent = source.result()
    session.listen(2.0)  # the statistics come twice a second
    last = {key: int(session.stats()[key]) for key in ("received_rgb", "received_depth", "superseded", "failed")}
    received = min(last["received_rgb"], last["received_depth"])
    return [
        Row("whole session", "pairs sent", sent["sent"]),
        Row("whole session", "not received", sent["sent"] - received),
        Row("whole session", "superseded by a newer frame", last["superseded"]),
        Row("whole session", "failed", last["failed"], most=0),
        Row("whole session", "the camera's process was late by up to", sent["late_max_ms"], "ms"),
    ]
