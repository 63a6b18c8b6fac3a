"""The demo's stages over ROS 2: a drive logged live, the adaptation by service, the drive in light and darkness."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgevl_cli.console import OnProgress
from edgevl_cli.demo.processes import node

if TYPE_CHECKING:  # rclpy may only be imported once the demo has set up its environment
    from edgevl_cli.demo.recorder import Recorder

START_TIMEOUT_S = 60.0
ADAPT_TIMEOUT_S = 3600.0
# Every frame is accounted for at the end: none may be lost on its way.
DEPTH = {"qos_depth": 50}
RELIABLE = {"qos_reliability": "reliable", **DEPTH}


def alive(**processes: subprocess.Popen[bytes]) -> Callable[[], None]:
    """A check that raises as soon as one of the nodes has died: waiting for it would be in vain."""

    def check() -> None:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with exit code {process.returncode}; see its log")

    return check


def log_drive(recorder: "Recorder", bag: Path, out: Path, logs: Path, rate: float, on_progress: OnProgress) -> int:
    """Play ``bag`` into pair_logger over ROS 2, which writes ``out``. Returns the number of pairs it kept."""
    from edgevl_core.pairlog.reader import BagReader

    with BagReader(bag) as reader:
        total = max(topic.count for topic in reader.topics.values())
    to_log = {"directory": str(out.parent), "name": out.name, "truth_topic": "truth", **RELIABLE}
    to_play = {"bag": str(bag), "rate": rate, "exit_at_end": False, **DEPTH}
    waits = {f"wait_{stream}_subscribers": 1 for stream in ("rgb", "depth", "camera_info", "truth")}
    with node("pair_logger", to_log, logs) as logger, node("bag_player", {**to_play, **waits}, logs) as player:

        def finished() -> bool:
            logger_status = recorder.logger()
            kept = 0 if logger_status is None else int(logger_status.pairs_kept)
            on_progress(kept, total)
            return recorder.player().get("finished") == "true"

        recorder.client.until(
            finished,
            "the end of the drive to be logged",
            START_TIMEOUT_S + total,
            alive=alive(pair_logger=logger, bag_player=player),
        )

        def account() -> tuple[int, ...]:
            status = recorder.logger()
            return (status.pairs_kept, *status.dropped_counts)

        # What was sent last is still on its way.
        _wait_until_steady(recorder, "pair_logger/status", account, alive(pair_logger=logger))
    with BagReader(out) as reader:
        on_progress(kept := max(topic.count for topic in reader.topics.values()), total)
    return kept


def adapt(recorder: "Recorder", check: Callable[[], None], on_progress: OnProgress, *, loaded: bool = True) -> str:
    """Call adaptation_manager's ~/adapt and wait for the bundle it makes. Returns its id.

    Args:
        loaded: wait until the classifier uses it.

    Raises:
        RuntimeError: the adaptation was refused or failed, with the manager's message.
    """
    from std_srvs.srv import Trigger

    # An earlier manager's last word, and its services, are none of this one.
    recorder.client.forget("adaptation_manager/status")
    recorder.client.forget_services("adaptation_manager")
    response = recorder.client.call(Trigger, "adaptation_manager/adapt", START_TIMEOUT_S)
    if not response.success:
        raise RuntimeError(f"adaptation_manager refused to adapt: {response.message}")

    def ended() -> bool:
        status = recorder.adaptation()
        if status is None:
            return False
        on_progress(round(status.progress * 1000), 1000)
        return status.state in ("succeeded", "failed", "cancelled")

    recorder.client.until(ended, "the end of the adaptation", ADAPT_TIMEOUT_S, alive=check)
    status = recorder.adaptation()
    if status.state != "succeeded":
        raise RuntimeError(f"the adaptation did not succeed: {status.message}")
    if loaded:
        recorder.client.until(
            lambda: (told := recorder.labels()) is not None and told.bundle_id == status.bundle_id,
            f"the classifier's use of the new bundle {status.bundle_id}",
            START_TIMEOUT_S,
            alive=check,
        )
    return str(status.bundle_id)


def drive(
    recorder: "Recorder", bag: Path, logs: Path, rate: float, check: Callable[[], None], on_progress: OnProgress
) -> None:
    """Play the unseen homes to the running classifier; every answer ends up in the recorder."""
    from edgevl_core.pairlog.reader import BagReader

    with BagReader(bag) as reader:
        total = max(topic.count for topic in reader.topics.values())
    recorder.forget_drive()
    # The classifier and the overlay look at RGB, the classifier at depth, the recorder at the truth.
    waits = {"wait_rgb_subscribers": 2, "wait_depth_subscribers": 1, "wait_truth_subscribers": 1}
    to_play = {"bag": str(bag), "rate": rate, "exit_at_end": False, **DEPTH, **waits}
    with node("bag_player", to_play, logs) as player:

        def finished() -> bool:
            on_progress(len(recorder.scenes), total)
            return recorder.player().get("finished") == "true"

        def both_alive() -> None:
            check()
            alive(bag_player=player)()

        recorder.client.until(
            finished,
            "the end of the live drive",
            START_TIMEOUT_S + total,
            alive=both_alive,
        )

        def account() -> tuple[int, ...]:
            counts = recorder.classifier()
            names = ("received_rgb", "received_depth", "frames", "answered", "superseded", "failed")
            return tuple(int(counts[name]) for name in names if name in counts)

        _wait_until_steady(recorder, "scene_classifier/stats", lambda: (*account(), len(recorder.scenes)), check)


def _wait_until_steady(
    recorder: "Recorder", topic: str, account: Callable[[], object], check: Callable[[], None]
) -> None:
    """Wait until a node's account, which comes with each message of its latched ``topic``, is twice the same."""
    before: object = None
    while True:
        recorder.client.forget(topic)
        recorder.client.until(lambda: recorder.client.has(topic), f"a message on {topic}", START_TIMEOUT_S, alive=check)
        now = account()
        if now == before:
            return
        before = now
