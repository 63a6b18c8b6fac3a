"""One logging session: streams of serialised messages in, well-chosen RGB-D pairs out to a rosbag2. No ROS.

Pairs are found by stamp, then judged by the keep-rule, then written, by default as the bytes that arrived, else as
what they were changed into (reduced, compressed). Messages
that go with an image (camera_info, truth) are written where their stamp is that image's, whichever of them arrives
first.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgevl_core.base.recent import Recent
from edgevl_core.camera.depth import to_measured
from edgevl_core.camera.doubts import DepthWatch
from edgevl_core.camera.images import ImageFormatError
from edgevl_core.camera.registration import INFO_OF
from edgevl_core.pairing.frames import RGB, Received
from edgevl_core.pairing.pair_matcher import Event, Pair, PairMatcher
from edgevl_core.pairing.unpaired import Unpaired
from edgevl_core.pairlog.calibration import CalibrationReader
from edgevl_core.pairlog.companions import Companions, Neighbours
from edgevl_core.pairlog.decoded import Decoded, decoded_depth, decoded_rgb
from edgevl_core.pairlog.disk import DiskFloorReached, WriteFailed
from edgevl_core.pairlog.frame_selection import FrameSelector
from edgevl_core.pairlog.log_clock import LogClock
from edgevl_core.pairlog.log_stats import Coverage
from edgevl_core.pairlog.logged import Logged, LoggedTopic
from edgevl_core.pairlog.motion import ODOMETRY, Track, pose_of
from edgevl_core.pairlog.offset import unpaired_problem
from edgevl_core.pairlog.retention import MARK
from edgevl_core.pairlog.types import deserialize, serialize
from edgevl_core.pairlog.writer import BagWriter

UNREADABLE = "unreadable"
NOT_WRITTEN = "not written"
REMOVED = "removed with the log"
NEGATIVE = "negative stamp"


class PairLog:
    """A bag being written; used by one thread, its counts read by others.

    Every method that writes raises DiskFloorReached or WriteFailed when nothing more can be written: then close it.

    Args:
        path: the bag's directory, which must not exist (UserError).
        logged: the topics in the bag.
        matcher, keep: the pairing and the keep-decision.
        open_writer: makes the bag's writer from its path (segment sizes and the like are the caller's).

    Attributes:
        path: where the bag is; it may be renamed while it is written.
        pairs_kept, bytes_written, segments: of the bag so far. A pair is kept once it is in the file: the last ones
            wait for their chunk, at most until the next flush.
        dropped: messages and pairs not written, by reason.
        skew_s: |RGB stamp - depth stamp| of the latest pairs.
        delay_s: from the arrival of a kept pair's second image to the bag having both; of the latest pairs. Pairing
            waits until no better partner can come, so a frame's period is part of it.
        coverage: kept pairs by scene.
        registered: whether depth is registered to RGB, in words.
        clock_jumps: how often the stamps went on elsewhere, the last time in words; see PairMatcher.
        doubts: what may be wrong with the cameras, one sentence each; that they give no pairs as well.
    """

    def __init__(
        self,
        path: Path,
        logged: Logged,
        matcher: PairMatcher[Received],
        keep: FrameSelector,
        open_writer: Callable[[Path], BagWriter],
    ) -> None:
        self.path = path
        self.pairs_kept = 0
        # Copies: the writer's own may not be asked from another thread while it closes.
        self.bytes_written, self.segments = 0, 1
        self.dropped: Counter[str] = Counter()
        self.skew_s, self.delay_s = Recent(), Recent()
        self.coverage = Coverage()
        self._logged, self._matcher, self._keep = logged, matcher, keep
        self._unpaired = Unpaired(matcher.max_skew_s)
        self._track = Track()
        self._clock = LogClock()
        self._unwritten: deque[int] = deque()  # of each pair in the chunk in progress: messages added up to it
        self._flushed = 0
        self._full: DiskFloorReached | WriteFailed | None = None
        self._writer = open_writer(path)
        self._writer.describe(MARK, logged.facts)
        self._calibration = CalibrationReader()
        self._depth_watch = DepthWatch()
        self._unreadable = ""  # why, of the last pair
        images = (logged.depth,) if logged.rgb is None else (logged.rgb, logged.depth)
        for topic in (*images, *logged.rgb_companions.values(), *logged.depth_companions.values()):
            self._writer.add_topic(topic.name, topic.msgtype)
        self._rgb_companions = {name: self._companions(name, topic) for name, topic in logged.rgb_companions.items()}
        self._depth_companions = {
            name: self._companions(name, topic) for name, topic in logged.depth_companions.items()
        }

    @property
    def registered(self) -> str:
        return str(self._calibration.found)

    @property
    def clock_jumps(self) -> tuple[int, str]:
        return self._matcher.jump_count, self._matcher.last_jump

    @property
    def doubts(self) -> list[str]:
        unit = self._depth_watch.doubt()
        said = {"unreadable": self._unreadable, "depth": unit}
        doubts = [f"{what}: {why}" for what, why in said.items() if why] + self._calibration.finder.changes
        unpaired = unpaired_problem(self._unpaired)
        return [unpaired, *doubts] if unpaired else doubts

    def add_image(self, stream: int, image: Received) -> None:
        """A message of stream RGB or DEPTH."""
        if image.stamp_ns < 0:
            self.dropped[f"{'rgb' if stream == RGB else 'depth'} {NEGATIVE}"] += 1
        elif self._logged.rgb is None:
            self._keep_or_drop(None, image)
            self._raise_if_full()
        else:
            self._unpaired.add(stream, image.stamp_ns)
            self._handle(self._matcher.push(stream, image.stamp_ns, image))

    def add_companion(self, stream: str, stamp_ns: int, cdr: bytes) -> None:
        """A message of one of the companion streams."""
        if stamp_ns < 0:
            self.dropped[f"{stream} {NEGATIVE}"] += 1
            return
        companions = self._rgb_companions.get(stream) or self._depth_companions[stream]
        camera = INFO_OF.get(stream)
        if camera is not None:
            self._state_registration(self._calibration.add(camera, cdr))
        companions.arrived(stamp_ns, cdr)

    def add_odometry(self, stamp_ns: int, cdr: bytes) -> None:
        """A nav_msgs/Odometry."""
        self._track.add(stamp_ns, pose_of(deserialize(cdr, ODOMETRY)))

    @property
    def has_unflushed(self) -> bool:
        """Whether anything was written since the last ``flush``."""
        return self._flushed != self._writer.messages_added

    def flush(self) -> None:
        """Make durable what was written."""
        self._writer.sync()
        self._flushed = self._writer.messages_added
        self._count_written()

    def close(self) -> None:
        """Decide the pairs still open, write them, close the bag."""
        try:
            self._handle(self._matcher.flush())
            self._settle_companions()
        finally:
            self.coverage.finish()
            try:
                self._writer.close()
            finally:
                self._count_written()
                self.dropped[NOT_WRITTEN] += len(self._unwritten)
                self._unwritten.clear()
                if self._writer.removed:
                    self.dropped[REMOVED] += self.pairs_kept
                    self.pairs_kept = 0
                self.dropped = +self.dropped

    def _companions(self, name: str, topic: LoggedTopic) -> Companions | Neighbours:
        if topic.between:
            return Neighbours(partial(self._write, topic))
        return Companions(partial(self._write, topic), or_latest=name in INFO_OF)

    def _handle(self, events: list[Event[Received]]) -> None:
        for event in events:
            if isinstance(event, Pair):
                self._unpaired.clear()
                self.skew_s.add(event.skew_s)
                if event.stretch != self._clock.stretch:
                    self._go_on_behind(event)
                self._keep_or_drop(event.a, event.b)
            else:
                self.dropped[("rgb " if event.stream == RGB else "depth ") + event.reason] += 1
        self._raise_if_full()

    def _go_on_behind(self, first: Pair[Received]) -> None:
        """The clock was set back: what belongs to the images before is written first."""
        try:
            if self._full is None:
                self._settle_companions()
        except (DiskFloorReached, WriteFailed) as error:
            self._full = error
        self._clock.begin(first.stretch, min(first.a_stamp_ns, first.b_stamp_ns))

    def _settle_companions(self) -> None:
        for companions in (*self._rgb_companions.values(), *self._depth_companions.values()):
            companions.finish()

    def _raise_if_full(self) -> None:
        if self._full is not None:
            raise self._full

    def _keep_or_drop(self, rgb: Received | None, depth: Received) -> None:
        try:
            if self._full is None:
                self._judge(rgb, depth)
            else:
                self.dropped[NOT_WRITTEN] += 1
        except (DiskFloorReached, WriteFailed) as error:
            self._full = error  # and not raised at once: the other events are still to be counted

    def _judge(self, rgb: Received | None, depth: Received) -> None:
        stamp_ns = (rgb or depth).stamp_ns
        pose = self._track.at(stamp_ns)
        reason = self._keep.without_images(stamp_ns, pose)
        if reason is None:
            try:
                seen_rgb = self._seen_rgb(rgb)
                seen_depth = decoded_depth(deserialize(depth.cdr, self._logged.depth.received))
                measured = to_measured(seen_depth.pixels, seen_depth.encoding)
            except ImageFormatError as error:  # what no training could read is not worth a log
                reason, self._unreadable = UNREADABLE, str(error)
            else:
                self._unreadable = ""
                reason = self._keep.decide(stamp_ns, None if seen_rgb is None else seen_rgb.pixels, measured, pose)
        if reason is not None:
            self.dropped[reason] += 1
            return
        self._depth_watch.add(measured)
        self._keep_pair(rgb, depth, seen_rgb, seen_depth)
        if seen_rgb is not None:
            finder = self._calibration.finder
            self._state_registration(finder.images(rgb=seen_rgb.size_and_frame, depth=seen_depth.size_and_frame))

    def _keep_pair(self, rgb: Received | None, depth: Received, seen_rgb: Decoded | None, seen_depth: Decoded) -> None:
        # Changed first, then written: both or none.
        images = [(self._logged.depth, depth, seen_depth)]
        if rgb is not None and seen_rgb is not None and self._logged.rgb is not None:
            images.insert(0, (self._logged.rgb, rgb, seen_rgb))
        messages = [
            (topic.name, image.cdr if topic.change is None else serialize(topic.change(seen).message), image.stamp_ns)
            for topic, image, seen in images
        ]
        self._unwritten.append(self._writer.messages_added + len(messages))
        try:
            for name, cdr, stamp_ns in messages:
                self._writer.write(name, cdr, self._clock.at(stamp_ns))
        except DiskFloorReached:
            self._unwritten.pop()
            self.dropped[NOT_WRITTEN] += 1
            raise
        lead = rgb or depth
        for companions in self._rgb_companions.values():
            companions.kept(lead.stamp_ns)
        for companions in self._depth_companions.values():
            companions.kept(depth.stamp_ns)
        self.coverage.kept(lead.stamp_ns)
        self._count_written()
        self.delay_s.add(time.monotonic() - max(lead.received_s, depth.received_s))

    def _count_written(self) -> None:
        written = self._writer.messages_written
        while self._unwritten and self._unwritten[0] <= written:
            self._unwritten.popleft()
            self.pairs_kept += 1
        self.path, self.bytes_written = self._writer.path, self._writer.bytes_written
        self.segments = len(self._writer.segments)

    def _seen_rgb(self, rgb: Received | None) -> Decoded | None:
        if rgb is None or self._logged.rgb is None:
            return None
        return decoded_rgb(deserialize(rgb.cdr, self._logged.rgb.received))

    def _write(self, topic: LoggedTopic, cdr: bytes, stamp_ns: int) -> None:
        if topic.change is not None:
            cdr = serialize(topic.change(deserialize(cdr, topic.received)))
        self._writer.write(topic.name, cdr, self._clock.at(stamp_ns))

    def _state_registration(self, changed: bool) -> None:
        if changed:
            self._writer.describe(MARK, {"registered": self.registered})
