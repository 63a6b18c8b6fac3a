"""The folder of pair_logger's logs: a new log as the parameters say, and all of them within the budget."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.pairing.frames import Received
from edgevl_core.pairing.pair_matcher import PairMatcher
from edgevl_core.pairlog.compressing import DEPTH_SUFFIX, RGB_SUFFIX, compress_depth_msg, compress_rgb_msg
from edgevl_core.pairlog.decoded import Decoded
from edgevl_core.pairlog.disk import WriteFailed, free_bytes
from edgevl_core.pairlog.frame_selection import FrameSelector
from edgevl_core.pairlog.logged import Logged, LoggedTopic
from edgevl_core.pairlog.pair_log import PairLog
from edgevl_core.pairlog.retention import make_room
from edgevl_core.pairlog.scaling import scale_depth_msg, scale_info_msg, scale_rgb_msg
from edgevl_core.pairlog.types import CAMERA_INFO, COMPRESSED_IMAGE, SCENE_TRUTH
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.logger.parameters import (
    CAMERA_POSE_TOPIC,
    COMPRESSED,
    KEEP_RULES,
    POSE_TYPES,
    SEGMENT_SLACK_MB,
    LoggerParameters,
    topics,
)
from edgevl_ros.node.streams import TYPE_NAMES, image_type
from edgevl_ros.node.transforms import TRANSFORMS

MB = 1_000_000


class LogDirectory:
    """Opens logs and removes old ones; used by one thread.

    The budget always has room for one segment more. So that there is something to remove, a log ends at half the
    budget and another one begins.

    Args:
        parameters: pair_logger's.
        say: takes one line for the user.

    Attributes:
        directory: where the logs are.
        removed_logs, removed_bytes: what the budget has cost so far.

    Raises:
        UserError: the directory cannot be made.
    """

    def __init__(self, parameters: LoggerParameters, say: Callable[[str], object]) -> None:
        # Whoever is told of a log may have another working directory.
        self.directory = parameters.path("directory").absolute()
        self.removed_logs = self.removed_bytes = 0
        self._parameters, self._say = parameters, say
        self._part = 1
        self._budget_bytes = int(parameters.max_total_mb * MB)
        self._segment_bytes = int((parameters.max_segment_mb + SEGMENT_SLACK_MB) * MB)
        _make(self.directory)

    def free_bytes(self) -> int:
        """Free space where logs are made; 0 where that place is gone."""
        try:
            return free_bytes(self.directory)
        except OSError:
            return 0

    def open(self, next_part: bool = False) -> PairLog:
        """A new log; ``next_part``: that goes on where the one before was ended for the budget's sake.

        Raises:
            UserError: there is a log of that name, it cannot be made, or no room can be made for it.
        """
        _make(self.directory)  # it may have been removed meanwhile
        self.make_room()
        parameters = self._parameters
        path = self._new_path(next_part)
        matcher = PairMatcher[Received](parameters.max_skew_s, size_of=attrgetter("size"))
        keep = FrameSelector(**{rule: getattr(parameters, rule) or None for rule in KEEP_RULES})
        try:
            log = PairLog(path, what_is_logged(parameters), matcher, keep, self._open_writer)
        except WriteFailed:
            shutil.rmtree(path, ignore_errors=True)  # begun just now: it would only stand in the next one's way
            raise
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
            self._say(f"removed {log.path} ({log.bytes / MB:.0f} MB): max_total_mb = {self._parameters.max_total_mb:g}")

    def _open_writer(self, path: Path) -> BagWriter:
        parameters = self._parameters
        return BagWriter(
            path,
            max_segment_bytes=int(parameters.max_segment_mb * MB),
            max_segment_s=parameters.max_segment_s,
            sync_interval_s=parameters.sync_interval_s,
            min_free_bytes=int(parameters.min_free_mb * MB),
            compression=parameters.compression,
        )

    def _new_path(self, next_part: bool) -> Path:
        """Of a name, parts are counted on, also past those that were removed: their order stays plain to see."""
        named = self._parameters.name
        self._part = self._part + 1 if next_part and named else 1
        stem = named or time.strftime("pairs_%Y%m%dT%H%M%SZ", time.gmtime())
        path = self.directory / (stem if self._part == 1 else f"{stem}_{self._part}")
        if named and not next_part:
            return path  # one that is taken is the user's mistake
        while path.exists():
            self._part += 1
            path = self.directory / f"{stem}_{self._part}"
        return path


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"parameter directory = {directory} cannot be made ({error.strerror}): choose another place"
        ) from error


def what_is_logged(parameters: LoggerParameters) -> Logged:
    """The topics and types of a log, and what is done to their messages, from the parameters."""
    names, scale = topics(parameters), parameters.log_scale
    if "pose" in names and parameters.pose_type == TRANSFORMS:
        names["pose"] = CAMERA_POSE_TOPIC

    def companions(**kinds: str) -> dict[str, LoggedTopic]:
        change = {CAMERA_INFO: partial(scale_info_msg, scale=scale)} if scale < 1.0 else {}
        return {
            stream: LoggedTopic(names[stream], kind, kind, change.get(kind), between=stream == "pose")
            for stream, kind in kinds.items()
            if stream in names
        }

    of_rgb = companions(camera_info=CAMERA_INFO, truth=SCENE_TRUTH, pose=POSE_TYPES[parameters.pose_type])
    of_depth = companions(depth_camera_info=CAMERA_INFO)
    if parameters.depth_only:
        of_rgb, of_depth = {}, {**of_rgb, **of_depth}
    facts = {
        "log_scale": f"{scale:g}",
        "depth_only": str(parameters.depth_only).lower(),
        "log_images": parameters.log_images,
    }
    rgb = _image(names["rgb"], parameters, scale_rgb_msg, compress_rgb_msg, RGB_SUFFIX) if "rgb" in names else None
    depth = _image(names["depth"], parameters, scale_depth_msg, compress_depth_msg, DEPTH_SUFFIX)
    return Logged(rgb, depth, of_rgb, of_depth, facts)


def _image(
    topic: str,
    parameters: LoggerParameters,
    reduce: Callable[[Decoded, float], Decoded],
    compress: Callable[[Decoded], Decoded],
    suffix: str,
) -> LoggedTopic:
    """One camera's images: reduced, compressed, both or neither."""
    received = TYPE_NAMES[image_type(topic)]
    reduced = parameters.log_scale < 1.0
    compressed = parameters.log_images == COMPRESSED and received != COMPRESSED_IMAGE

    def change(image: Decoded) -> Decoded:
        small = reduce(image, parameters.log_scale) if reduced else image
        return compress(small) if compressed else small

    name, msgtype = (topic + suffix, COMPRESSED_IMAGE) if compressed else (topic, received)
    return LoggedTopic(name, msgtype, received, change if reduced or compressed else None)
