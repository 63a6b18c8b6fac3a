"""The folder of pair_logger's logs: a new log as the parameters say, and all of them within the budget."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevl_core.errors import UserError
from edgevl_core.pairing import PairMatcher
from edgevl_core.pairlog.keep import KeepRule
from edgevl_core.pairlog.retention import make_room
from edgevl_core.pairlog.types import CAMERA_INFO, SCENE_TRUTH
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.logger.pair_log import Logged, LoggedTopic, PairLog
from edgevl_ros.logger.parameters import KEEP_RULES, SEGMENT_SLACK_MB, topics
from edgevl_ros.streams import TYPE_NAMES, image_type

MB = 1_000_000


class LogShelf:
    """Opens logs and removes old ones; used by one thread.

    The budget always has room for one segment more. So that there is something to remove, a log ends at half the
    budget and another one begins.

    Args:
        values: pair_logger's parameters.
        say: takes one line for the user.

    Attributes:
        directory: where the logs are.
        removed_logs, removed_bytes: what the budget has cost so far.

    Raises:
        UserError: the directory cannot be made.
    """

    def __init__(self, values: dict[str, Any], say: Callable[[str], None]) -> None:
        self.directory = Path(values["directory"]).expanduser()
        self.removed_logs = self.removed_bytes = 0
        self._values, self._say = values, say
        self._part = 1
        self._budget_bytes = int(values["max_total_mb"] * MB)
        self._segment_bytes = int((values["max_segment_mb"] + SEGMENT_SLACK_MB) * MB)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"parameter directory = {self.directory} cannot be made ({error.strerror}): choose another place"
            ) from error

    def open(self, next_part: bool = False) -> PairLog:
        """A new log; ``next_part``: that goes on where the one before was ended for the budget's sake.

        Raises:
            UserError: there is a log of that name, it cannot be made, or no room can be made for it.
        """
        self.make_room()
        values = self._values
        log = PairLog(
            self._new_path(next_part),
            what_is_logged(values),
            PairMatcher(values["max_skew_s"]),
            KeepRule(**{rule: values[rule] or None for rule in KEEP_RULES}),
            self._open_writer,
        )
        self._say(f"logging to {log.path}")
        return log

    def is_outgrown(self, log: PairLog) -> bool:
        """Whether a log should end now: with one segment more it would exceed half the budget."""
        return bool(self._budget_bytes) and log.bytes_written + self._segment_bytes > self._budget_bytes / 2

    def make_room(self) -> None:
        """Remove the oldest closed logs until one segment more fits into the budget.

        Raises:
            UserError: a log cannot be removed.
        """
        if not self._budget_bytes:
            return
        for log in make_room(self.directory, self._budget_bytes - self._segment_bytes):
            self.removed_logs += 1
            self.removed_bytes += log.bytes
            self._say(f"removed {log.path} ({log.bytes / MB:.0f} MB): max_total_mb = {self._values['max_total_mb']:g}")

    def _open_writer(self, path: Path) -> BagWriter:
        values = self._values
        return BagWriter(
            path,
            max_segment_bytes=int(values["max_segment_mb"] * MB),
            max_segment_s=values["max_segment_s"],
            sync_interval_s=values["sync_interval_s"],
            min_free_bytes=int(values["min_free_mb"] * MB),
            compression=values["compression"],
        )

    def _new_path(self, next_part: bool) -> Path:
        """Of a name, parts are counted on, also past those that were removed: their order stays plain to see."""
        named = self._values["name"]
        self._part = self._part + 1 if next_part and named else 1
        stem = named or time.strftime("pairs_%Y%m%dT%H%M%SZ", time.gmtime())
        path = self.directory / (stem if self._part == 1 else f"{stem}_{self._part}")
        if named and not next_part:
            return path  # one that is taken is the user's mistake
        while path.exists():
            self._part += 1
            path = self.directory / f"{stem}_{self._part}"
        return path


def what_is_logged(values: dict[str, Any]) -> Logged:
    """The topics and types of a log, from the parameters."""
    names = topics(values)

    def image(stream: str) -> LoggedTopic | None:
        if stream not in names:
            return None
        return LoggedTopic(names[stream], TYPE_NAMES[image_type(names[stream])])

    def companions(**kinds: str) -> dict[str, LoggedTopic]:
        return {stream: LoggedTopic(names[stream], kind) for stream, kind in kinds.items() if stream in names}

    of_rgb, of_depth = companions(camera_info=CAMERA_INFO, truth=SCENE_TRUTH), companions(depth_camera_info=CAMERA_INFO)
    if values["depth_only"]:
        of_rgb, of_depth = {}, {**of_rgb, **of_depth}
    depth = image("depth")
    if depth is None:
        raise UserError("parameter depth_topic is empty: pair_logger needs a depth topic")
    return Logged(image("rgb"), depth, of_rgb, of_depth, values["log_scale"])
