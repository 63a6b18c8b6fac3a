"""pair_logger: logs well-chosen RGB-D pairs to a new rosbag2, the bytes as they arrived.

Subscriptions only queue bytes; one writer thread pairs, judges and writes, so that a slow disk does not
cost messages: they wait in a bounded queue, and what does not fit is counted as "queue full".
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgevl.msg import LoggerStatus, SceneTruth
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from edgevl_core.errors import UserError
from edgevl_core.pairing import PairMatcher
from edgevl_core.pairlog.keep import KeepRule
from edgevl_core.pairlog.writer import BagWriter, DiskFloorReached
from edgevl_ros.diagnostics import OK, WARN, Report
from edgevl_ros.managed import ManagedNode
from edgevl_ros.pair_log import DEPTH, RGB, LoggedTopic, PairLog
from edgevl_ros.parameters import Parameter
from edgevl_ros.qos import LATCHED, SUBSCRIPTION_QOS
from edgevl_ros.runner import run
from edgevl_ros.streams import TYPE_NAMES, RawStream, image_type
from edgevl_ros.worker import QueueWorker

PARAMETERS = (
    Parameter("rgb_topic", "camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed"),
    Parameter("depth_topic", "camera/depth/image_raw", "depth, as above; also /compressedDepth"),
    Parameter("camera_info_topic", "camera/rgb/camera_info", "of the RGB camera; empty: not logged"),
    Parameter("truth_topic", "", "edgevl/SceneTruth, for evaluation only; empty: not logged"),
    Parameter("directory", "pair_logs", "where logs are made; also the place for the free-space floor"),
    Parameter("name", "", "name of the log inside the directory; empty: pairs_<UTC date and time>"),
    Parameter("log_on_activate", True, "start logging at once; false: wait for ~/start"),
    Parameter("max_skew_s", 0.02, "largest difference of stamps within a pair", low=0.0, high=1.0),
    Parameter("min_interval_s", 0.0, "keep at most one pair in this time; 0: no limit", low=0.0, high=3600.0),
    Parameter("min_novelty", 0.0, "least change against the last kept pair; 0: any", low=0.0, high=1.0),
    Parameter("min_sharpness", 0.0, "least variance of the Laplacian; 0: any", low=0.0, high=1.0e5),
    Parameter("min_brightness", 0.0, "least mean grey level; 0: any", low=0.0, high=255.0),
    Parameter("min_depth_valid", 0.0, "least share of measured depth pixels; 0: any", low=0.0, high=1.0),
    Parameter("max_segment_mb", 256.0, "size at which the bag starts a new segment", low=1.0, high=65536.0),
    Parameter("max_segment_s", 300.0, "age at which the bag starts a new segment", low=1.0, high=86400.0),
    Parameter("sync_interval_s", 2.0, "how much a power cut may cost", low=0.0, high=600.0),
    Parameter("min_free_mb", 500.0, "free disk space below which nothing is written", low=0.0, high=1.0e6),
    Parameter("compression", "zstd", "of the bag's chunks", choices=("zstd", "none")),
    Parameter("queue_length", 200, "messages that may wait for the disk", low=10, high=100000),
    *SUBSCRIPTION_QOS,
)
STREAMS = ("rgb", "depth", "camera_info", "truth")
KEEP_RULES = ("min_interval_s", "min_novelty", "min_sharpness", "min_brightness", "min_depth_valid")
MB = 1_000_000


class PairLogger(ManagedNode):
    """Services ~/start ~/stop ~/flush; latched ~/status (edgevl/LoggerStatus)."""

    def __init__(self) -> None:
        super().__init__("pair_logger", PARAMETERS)
        self._log: PairLog | None = None
        self._closed: PairLog | None = None
        self._state = "idle"
        self._refused: Counter[str] = Counter()
        self._streams: dict[str, RawStream] = {}

    def setup(self) -> None:
        for name in ("rgb_topic", "depth_topic"):
            if not self.values[name]:
                raise UserError(f"parameter {name} is empty: pair_logger needs an RGB and a depth topic")
        self._directory = Path(self.values["directory"]).expanduser()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"parameter directory = {self._directory} cannot be made ({error.strerror}): choose another place"
            ) from error
        self._status = self.add_publisher(LoggerStatus, "~/status", LATCHED)
        self.add_service(Trigger, "~/start", self._on_start)
        self.add_service(Trigger, "~/stop", self._on_stop)
        self.add_service(Trigger, "~/flush", self._on_flush)

    def start(self) -> None:
        self._worker = QueueWorker(self, partial(self.add_error, "writing"), self.values["queue_length"])
        self.until_deactivate.callback(self._publish_status)
        self.until_deactivate.callback(self._end_log)
        if self.values["log_on_activate"]:
            self._open()
        self._streams = {
            "rgb": self._image_stream(RGB, self.values["rgb_topic"]),
            "depth": self._image_stream(DEPTH, self.values["depth_topic"]),
        }
        for stream, kind in (("camera_info", CameraInfo), ("truth", SceneTruth)):
            if topic := self.values[f"{stream}_topic"]:
                self._streams[stream] = RawStream(self, kind, topic, partial(self._on_companion, stream))
        self.add_timer(1.0, self._publish_status)
        if self.values["sync_interval_s"] > 0:
            # The writer syncs only while messages come; this makes the last ones before a pause durable too.
            self.add_timer(self.values["sync_interval_s"], lambda: self._worker.offer(self._sync_if_idle))

    def _end_log(self) -> None:
        closed = self._worker.call(self._close)
        self._worker.close()
        closed.result()  # raises what closing the bag raised

    # -- streams ----------------------------------------------------------------------------------------

    def _image_stream(self, stream: int, topic: str) -> RawStream:
        return RawStream(self, image_type(topic), topic, partial(self._on_image, stream))

    def _on_image(self, stream: int, stamp_ns: int, cdr: bytes) -> None:
        self._offer("rgb" if stream == RGB else "depth", lambda log: log.add_image(stream, stamp_ns, cdr))

    def _on_companion(self, stream: str, stamp_ns: int, cdr: bytes) -> None:
        self._offer(stream, lambda log: log.add_companion(stream, stamp_ns, cdr))

    def _offer(self, stream: str, add: Callable[[PairLog], None]) -> None:
        if not self._worker.offer(partial(self._write, add)):
            self._refused[f"{stream} queue full"] += 1

    # -- the log; these run in the writer thread, except for the first opening --------------------------

    def _write(self, add: Callable[[PairLog], None]) -> None:
        if self._log is None:
            return
        try:
            add(self._log)
        except DiskFloorReached as error:
            self.add_error("writing", error)
            self._close()

    def _open(self) -> str:
        if self._log is not None:
            raise UserError(f"logging to {self._log.path} already: ~/stop first")
        topics = {stream: self.values[f"{stream}_topic"] for stream in STREAMS}
        kinds = {"camera_info": "sensor_msgs/msg/CameraInfo", "truth": "edgevl/msg/SceneTruth"}
        self._refused.clear()
        self._synced_pairs = 0
        self._log = PairLog(
            self._new_path(),
            LoggedTopic(topics["rgb"], TYPE_NAMES[image_type(topics["rgb"])]),
            LoggedTopic(topics["depth"], TYPE_NAMES[image_type(topics["depth"])]),
            {stream: LoggedTopic(topics[stream], kind) for stream, kind in kinds.items() if topics[stream]},
            PairMatcher(self.values["max_skew_s"]),
            KeepRule(**{rule: self.values[rule] or None for rule in KEEP_RULES}),
            self._open_writer,
        )
        self._state = "logging"
        self.get_logger().info(f"logging to {self._log.path}")
        return f"logging to {self._log.path}"

    def _sync_if_idle(self) -> None:
        log = self._log
        if log is not None and self._worker.pending() == 0 and self._synced_pairs != log.pairs_kept:
            log.flush()
            self._synced_pairs = log.pairs_kept

    def _open_writer(self, path: Path) -> BagWriter:
        return BagWriter(
            path,
            max_segment_bytes=int(self.values["max_segment_mb"] * MB),
            max_segment_s=self.values["max_segment_s"],
            sync_interval_s=self.values["sync_interval_s"],
            min_free_bytes=int(self.values["min_free_mb"] * MB),
            compression=self.values["compression"],
        )

    def _new_path(self) -> Path:
        directory = self._directory
        if self.values["name"]:
            return directory / self.values["name"]
        stem = time.strftime("pairs_%Y%m%dT%H%M%SZ", time.gmtime())
        names = [stem, *(f"{stem}_{number}" for number in range(2, 100))]
        return next(directory / name for name in names if not (directory / name).exists())

    def _close(self) -> str:
        if self._log is None:
            return "was not logging"
        log = self._log
        try:
            log.close()
        finally:
            self._closed, self._log, self._state = log, None, "stopped"
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
        self._log.flush()
        return f"{self._log.pairs_kept} pairs on disk in {self._log.path}"

    async def _in_writer(self, job: Callable[[], str], response: Trigger.Response) -> Trigger.Response:
        if self.state_label != "active":
            raise UserError(f"pair_logger is {self.state_label}: activate it first")
        response.message = await self._worker.call(job)
        response.success = True
        self._publish_status()
        return response

    # -- status -----------------------------------------------------------------------------------------

    def _dropped(self) -> Counter[str]:
        log = self._log or self._closed
        return Counter(log.dropped if log is not None else {}) + self._refused

    def _publish_status(self) -> None:
        log = self._log or self._closed
        dropped = self._dropped()
        status = LoggerStatus(state=self._state)
        status.dropped_reasons, status.dropped_counts = list(dropped), list(dropped.values())
        status.header.stamp = self.get_clock().now().to_msg()
        status.free_bytes = shutil.disk_usage(self._directory).free
        status.skew_p50_s = status.skew_p95_s = float("nan")
        if log is not None:
            status.pairs_kept = log.pairs_kept
            status.bytes = log.bytes_written
            status.skew_p50_s, status.skew_p95_s = log.skew_s.quantile(0.5), log.skew_s.quantile(0.95)
            status.path = str(log.path)
        self._status.publish(status)

    def report(self) -> Report:
        log = self._log or self._closed
        values: dict[str, object] = {"logger": self._state}
        for name, stream in self._streams.items():
            values.update(stream.values(name))
        if log is not None:
            values.update(pairs_kept=log.pairs_kept, bytes=log.bytes_written, path=log.path)
        values.update({f"dropped {reason}": count for reason, count in sorted(self._dropped().items())})
        problems = [self._streams[name].problem() for name in ("rgb", "depth") if name in self._streams]
        problems = [problem for problem in problems if problem] if self._state == "logging" else []
        kept = log.pairs_kept if log is not None else 0
        message = "; ".join([f"{self._state}, {kept} pairs kept", *problems])
        return Report(WARN if problems else OK, message, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(PairLogger, PARAMETERS, __doc__ or "")


if __name__ == "__main__":
    raise SystemExit(main())
