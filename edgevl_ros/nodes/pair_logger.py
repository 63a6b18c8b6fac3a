"""pair_logger: logs well-chosen RGB-D pairs to a new rosbag2, by default the bytes as they arrived.

Subscriptions only queue bytes; one writer thread pairs, judges and writes, so that a slow disk does not
cost messages: they wait in a bounded queue, and what does not fit is counted as "queue full".
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from edgevl.msg import LoggerStatus
from std_srvs.srv import Trigger

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.cdr_header import frame_id
from edgevl_core.pairlog.disk import DiskFloorReached, WriteFailed
from edgevl_core.pairlog.log_stats import ByteRate
from edgevl_core.pairlog.pair_log import PairLog
from edgevl_core.pairlog.place_messages import pose_msg
from edgevl_core.pairlog.types import serialize
from edgevl_core.room_map.transforms import MAP_FRAME
from edgevl_core.room_map.view import Stand
from edgevl_ros.logger.log_directory import LogDirectory
from edgevl_ros.logger.parameters import LoggerParameters, check, topics
from edgevl_ros.logger.streams import addition, message_type
from edgevl_ros.node.diagnostics import OK, WARN, ClockJumps, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.names import check_name
from edgevl_ros.node.qos import LATCHED
from edgevl_ros.node.runner import run
from edgevl_ros.node.streams import RawStream, values_of
from edgevl_ros.node.transforms import TRANSFORMS, CameraTransforms
from edgevl_ros.node.worker import QueueWorker, in_this_life

SOONEST_SYNC_S = 0.1
NO_MORE_WRITES = (DiskFloorReached, WriteFailed)
NEEDED = ("rgb", "depth", "odometry", "pose")  # without these nothing, or not all that should be, is kept


class PairLogger(ManagedNode[LoggerParameters]):
    """Services ~/start ~/stop ~/flush; latched ~/status (edgevl/LoggerStatus)."""

    def __init__(self) -> None:
        super().__init__("pair_logger", LoggerParameters)
        self._log: PairLog | None = None
        self._closed: PairLog | None = None
        self._state = "idle"
        self._ended_by = ""  # why the last log ended unasked; the diagnostics say it until the next start
        self._refused: Counter[str] = Counter()
        self._streams: dict[str, RawStream] = {}
        self._transforms: CameraTransforms | None = None
        self._clock_jumps = ClockJumps(self.get_logger().warning)

    def setup(self) -> None:
        check(self.parameters)
        self._topics = topics(self.parameters)
        for topic in self._topics.values():
            check_name(self, topic, self.parameters)  # before there is a log
        self._transforms = None
        self._leads = "depth" if self.parameters.depth_only else "rgb"  # whose camera transforms lead to
        pose_type = self.parameters.pose_type
        self._kinds = {stream: message_type(stream, topic, pose_type) for stream, topic in self._topics.items()}
        self._shelf = LogDirectory(self.parameters, self.get_logger().info)
        self._rate = ByteRate()
        self._status = self.add_publisher(LoggerStatus, "~/status", LATCHED)
        self.add_service(Trigger, "~/start", self._on_start)
        self.add_service(Trigger, "~/stop", self._on_stop)
        self.add_service(Trigger, "~/flush", self._on_flush)

    def start(self) -> None:
        on_error = partial(self.add_error, "writing")
        self._worker = QueueWorker(self, on_error, self.parameters.queue_length, self.parameters.queue_mb * 1e6)
        self.until_deactivate.callback(self._publish_status)
        self.until_deactivate.callback(self._end_log)
        if self.parameters.log_on_activate:
            try:
                with self._ending():
                    self._open()
            except NO_MORE_WRITES as error:  # no reason to leave: ~/start tries again
                self.add_error("writing", error)
        self._streams = {stream: self._listen(stream, topic) for stream, topic in self._topics.items()}
        self.add_timer(1.0, self._publish_status)
        # The writer syncs only while messages come; this makes the last ones before a pause durable too. At 0 as well:
        # there they may have come while the disk was busy with the sync before.
        every_s = max(self.parameters.sync_interval_s, SOONEST_SYNC_S)
        self.add_timer(every_s, lambda: self._worker.offer(self._sync_if_idle))

    def _end_log(self) -> None:
        closed = self._worker.call(self._close)
        self._worker.close()
        closed.result()  # raises what closing the bag raised

    def _listen(self, stream: str, topic: str) -> RawStream:
        if stream == "pose" and self.parameters.pose_type == TRANSFORMS:
            self._transforms = CameraTransforms(self, topic, self._on_camera)
            return self._transforms.stream
        return RawStream(self, self._kinds[stream], topic, partial(self._on_message, stream))

    def _on_camera(self, stamp_ns: int, stand: Stand) -> None:
        pose = pose_msg(stand.x, stand.y, 0.0, stand.yaw, stamp_ns, MAP_FRAME)
        self._on_message("pose", stamp_ns, serialize(pose))

    def _on_message(self, stream: str, stamp_ns: int, cdr: bytes) -> None:
        if self._transforms is not None and stream == self._leads:
            self._transforms.camera_frame = frame_id(cdr)
        if not self._worker.offer(partial(self._write, addition(stream, stamp_ns, cdr)), len(cdr)):
            self._refused[f"{stream} queue full"] += 1

    # -- the log; these run in the writer thread, except for the first opening --------------------------

    def _write(self, add: Callable[[PairLog], None]) -> None:
        log = self._log
        if log is None:
            return
        segments = log.segments
        with self._ending():
            add(log)
            if log.segments > segments:
                self._on_new_segment(log)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """What ends a log unasked is kept for the diagnostics, and the log is closed."""
        try:
            yield
        except NO_MORE_WRITES as error:
            with suppress(*NO_MORE_WRITES):  # the same once more
                self._close()
            self._ended(error)
            raise

    def _ended(self, error: UserError) -> None:
        """A log that ended at the floor of free space is whole."""
        self._ended_by, self._state = str(error), "failed" if isinstance(error, WriteFailed) else "stopped"

    def _on_new_segment(self, log: PairLog) -> None:
        """The moment to keep the budget: the segment before has its final size."""
        if self._shelf.is_outgrown(log):
            self._close("logging")
            try:
                self._open(next_part=True)
            except UserError as error:
                self._ended(error)
                raise
        else:
            self._shelf.make_room()

    def _open(self, next_part: bool = False) -> str:
        if self._log is not None:
            raise UserError(f"logging to {self._log.path} already: ~/stop first")
        self._log = self._shelf.open(next_part)
        self._state, self._ended_by = "logging", ""
        self._refused.clear()
        return f"logging to {self._log.path}"

    def _sync_if_idle(self) -> None:
        log = self._log
        if log is not None and self._worker.pending() == 0 and log.has_unflushed:
            with self._ending():
                log.flush()

    def _close(self, state: str = "stopped") -> str:
        if self._log is None:
            return "was not logging"
        log = self._log
        try:
            log.close()
        except NO_MORE_WRITES as error:
            self._ended(error)
            state = self._state
            raise
        finally:
            self._closed, self._log = log, None
            self._state = state  # not before: whoever reads "stopped" reads the final counts with it
        text = f"{log.pairs_kept} pairs in {log.path}"
        self.get_logger().info(text)
        return text

    # -- services ---------------------------------------------------------------------------------------

    async def _on_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._in_writer(self._open, response)

    async def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answers when the bag is closed and complete on disk."""
        return await self._in_writer(self._close, response)

    async def _on_flush(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._in_writer(self._flush, response)

    def _flush(self) -> str:
        if self._log is None:
            raise UserError("not logging: nothing to flush")
        with self._ending():
            self._log.flush()
        return f"{self._log.pairs_kept} pairs on disk in {self._log.path}"

    async def _in_writer(self, job: Callable[[], str], response: Trigger.Response) -> Trigger.Response:
        if self.state_label != "active":
            raise UserError(f"pair_logger is {self.state_label}: activate it first")
        response.message = await in_this_life(self, self._worker.call(job))
        response.success = True
        self._publish_status()
        return response

    # -- status -----------------------------------------------------------------------------------------

    def _dropped(self) -> Counter[str]:
        log = self._log or self._closed
        unreadable = Counter({f"{name} unreadable header": stream.unreadable for name, stream in self._streams.items()})
        return Counter(log.dropped if log is not None else {}) + self._refused + unreadable

    def _publish_status(self) -> None:
        status = LoggerStatus(state=self._state)  # read before the counts, which are final once it is "stopped"
        log = self._log or self._closed
        dropped = self._dropped()
        status.dropped_reasons, status.dropped_counts = list(dropped), list(dropped.values())
        status.header.stamp = self.get_clock().now().to_msg()
        status.free_bytes = self._shelf.free_bytes()
        status.skew_p50_s = status.skew_p95_s = float("nan")
        if log is not None:
            status.pairs_kept = log.pairs_kept
            status.bytes = log.bytes_written
            status.skew_p50_s, status.skew_p95_s = log.skew_s.quantile(0.5), log.skew_s.quantile(0.95)
            status.path = str(log.path)
            self._rate.sample(time.monotonic(), log.bytes_written)
            status.mb_per_s = self._rate.mb_per_s()
            if "scene" in self._topics:
                counts = scenes(log)
                status.scenes, status.scene_counts = list(counts), list(counts.values())
        self._status.publish(status)

    def report(self) -> Report:
        state, log = self._state, self._log or self._closed  # in this order, as in the status
        values: dict[str, object] = {"logger": state, **values_of(self._streams)}
        if log is not None:
            values.update(account(log), mb_per_s=self._rate.mb_per_s())
            values.update(self._clock_jumps.values(log.clock_jumps))
            if "scene" in self._topics:
                values.update({f"scene_{label}": count for label, count in scenes(log).items()})
        values.update({f"dropped {reason}": count for reason, count in sorted(self._dropped().items())})
        values.update(removed_logs=self._shelf.removed_logs, removed_mb=self._shelf.removed_bytes / 1e6)
        problems = [self._streams[name].problem() for name in NEEDED if name in self._streams]
        if self._transforms is not None:
            problems.append(self._transforms.problem)
        problems = [problem for problem in problems if problem] if state == "logging" else []
        problems += log.doubts if log is not None and state == "logging" else []
        if self._ended_by:
            problems = [self._ended_by]
        kept = log.pairs_kept if log is not None else 0
        message = "; ".join([f"{state}, {kept} pairs kept", *problems])
        return Report(WARN if problems else OK, message, values)


def account(log: PairLog) -> dict[str, object]:
    """What a log has to say of itself, for diagnostics."""
    return {
        "pairs_kept": log.pairs_kept,
        "bytes": log.bytes_written,
        "path": log.path,
        "registered": log.registered,
        "receive_to_written_p50_ms": log.delay_s.quantile(0.5) * 1e3,
        "receive_to_written_p99_ms": log.delay_s.quantile(0.99) * 1e3,
    }


def scenes(log: PairLog) -> dict[str, int]:
    """Kept pairs by the scene the classifier saw."""
    return dict(sorted(log.coverage.counts.copy().items()))  # a copy: the writer thread goes on counting


def main() -> int:
    """Console script; returns the exit code."""
    return run(PairLogger, LoggerParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
