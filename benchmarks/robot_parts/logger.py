"""pair_logger under a camera's full load, from another process, to the disk."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from std_srvs.srv import Trigger

from edgevl_cli.demo.processes import node
from edgevl_ros.node.client import Client
from robot_parts.camera import HZ
from robot_parts.processes import camera, cpu_s
from robot_parts.rows import Row

WAIT_S = 60.0
MAX_CPU, MAX_DELAY_MS = 0.6, 100.0


def measure(seconds: float, directory: Path | None, given: Mapping[str, str]) -> list[Row]:
    """Every pair kept as it came, then as JPEG and compressed depth.

    ``directory``: on the disk to measure. ``given``: parameters of the node.
    """
    rows = []
    for log_images in ("as_received", "compressed"):
        with tempfile.TemporaryDirectory(prefix="pair_logger_", dir=directory) as folder:
            rows += _load(Path(folder), round(seconds * HZ), {**given, "log_images": log_images})
    return rows


def _load(directory: Path, count: int, given: Mapping[str, str]) -> list[Row]:
    parameters = {"directory": str(directory), "name": "log", "camera_info_topic": "", **given}
    client = Client("benchmark")
    try:
        stats = client.watch_stats("pair_logger/stats")
        with node("pair_logger", parameters, directory) as logger, camera(count) as source:
            client.until(lambda: stats().get("publishers_rgb") == stats().get("publishers_depth") == "1", "it", WAIT_S)
            cpu_before_s, begin_s = cpu_s(logger.pid), time.monotonic()
            source.begin()
            client.until(source.done, "the camera's end", count / HZ + WAIT_S)
            # Until the bag is closed: what still waited in the queue is part of the work.
            if not client.call(Trigger, "pair_logger/stop", WAIT_S).success:
                raise RuntimeError("pair_logger refused to stop")
            wall_s = time.monotonic() - begin_s
            cpu = (cpu_s(logger.pid) - cpu_before_s) / wall_s
            last = client.until(lambda: stats().get("logger") == "stopped" and stats(), "the statistics", WAIT_S)
            sent = source.result()["sent"]
    finally:
        client.close()
    megabytes = sum(file.stat().st_size for file in (directory / "log").glob("*.mcap")) / 1e6
    part = f"pair_logger, {given['log_images']}"
    bound = MAX_CPU if given["log_images"] == "compressed" else None
    delay_ms = {q: float(last[f"receive_to_written_{q}_ms"]) for q in ("p50", "p99")}
    return [
        Row(part, "pairs sent", sent),
        Row(part, "pairs lost", sent - int(last["pairs_kept"]), most=0),
        Row(part, "processor of the node's process", round(cpu, 3), "cores", most=bound),
        Row(part, "receive to written, p50", delay_ms["p50"], "ms"),
        Row(part, "receive to written, p99", delay_ms["p99"], "ms", most=MAX_DELAY_MS),
        Row(part, "log", round(megabytes / wall_s, 2), "MB/s"),
    ]
