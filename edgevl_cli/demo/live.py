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
    seen = recorder.recording
    to_log = {"directory": str(out.parent), "name": out.name, "truth_topic": "truth", **RELIABLE}
    to_play = {"bag": str(bag), "rate": rate, "exit_at_end": False, **DEPTH}
    waits = {f"wait_{stream}_subscribers": 1 for stream in ("rgb", "depth", "camera_info", "truth")}
    with node("pair_logger", to_log, logs) as logger, node("bag_player", {**to_play, **waits}, logs) as player:

        def finished() -> bool:
            kept = 0 if seen.logger is None else int(seen.logger.pairs_kept)
            on_progress(kept, total)
            return seen.counts("bag_player").get("finished") == "true"

        recorder.spin_until(
            finished,
            timeout_s=START_TIMEOUT_S + total,
            what="the end of the drive to be logged",
            alive=alive(pair_logger=logger, bag_player=player),
        )
    with BagReader(out) as reader:
        on_progress(kept := max(topic.count for topic in reader.topics.values()), total)
    return kept


def adapt(recorder: "Recorder", check: Callable[[], None], on_progress: OnProgress) -> str:
    """Call adaptation_manager's ~/adapt and wait until the bundle it made is in the classifier. Returns its id.

    Raises:
        RuntimeError: the adaptation was refused or failed, with the manager's message.
    """
    from std_srvs.srv import Trigger

    response = recorder.call(Trigger, "adaptation_manager/adapt", Trigger.Request(), timeout_s=START_TIMEOUT_S)
    if not response.success:
        raise RuntimeError(f"adaptation_manager refused to adapt: {response.message}")
    seen = recorder.recording

    def ended() -> bool:
        status = seen.adaptation
        if status is None:
            return False
        on_progress(round(status.progress * 1000), 1000)
        return status.state in ("succeeded", "failed", "cancelled")

    recorder.spin_until(ended, timeout_s=ADAPT_TIMEOUT_S, what="the end of the adaptation", alive=check)
    status = seen.adaptation
    if status is None or status.state != "succeeded":
        raise RuntimeError(f"the adaptation did not succeed: {status and status.message}")
    recorder.spin_until(
        lambda: seen.counts("scene_classifier").get("bundle_id") == status.bundle_id,
        timeout_s=START_TIMEOUT_S,
        what=f"the classifier's use of the new bundle {status.bundle_id}",
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
    seen = recorder.recording
    recorder.forget_drive()
    # The classifier and the overlay look at RGB, the classifier at depth, the recorder at the truth.
    waits = {"wait_rgb_subscribers": 2, "wait_depth_subscribers": 1, "wait_truth_subscribers": 1}
    with node(
        "bag_player", {"bag": str(bag), "rate": rate, "exit_at_end": False, "qos_depth": 50, **waits}, logs
    ) as player:

        def finished() -> bool:
            on_progress(len(seen.scenes), total)
            return seen.counts("bag_player").get("finished") == "true"

        recorder.spin_until(
            finished,
            timeout_s=START_TIMEOUT_S + total,
            what="the end of the live drive",
            alive=lambda: (check(), alive(bag_player=player)())[0],
        )

        def account() -> tuple[int, ...]:
            counts = seen.counts("scene_classifier")
            names = ("received_rgb", "received_depth", "frames", "answered", "superseded", "failed")
            return (*(int(counts.get(name, "-1")) for name in names), len(seen.scenes))

        # The classifier publishes its account twice a second: the drive has ended when two in a row are the same.
        final = ()
        while final != (now := account()):
            final = now
            seen.statuses.pop("scene_classifier", None)
            recorder.spin_until(
                lambda: "scene_classifier" in seen.statuses,
                timeout_s=START_TIMEOUT_S,
                what="the classifier's account of the drive",
                alive=check,
            )
