"""pair_logger under a camera's full load: 640x480 rgb8 and 16UC1 at 30 Hz, from another process, to the disk.

python benchmarks/pair_logger.py [--seconds 60] [--compression zstd|lz4|none] [--directory DIR] [--json FILE]

The images are a rendered-like scene with sensor noise, not uniform noise and not a constant: both would say nothing
about compression. CPU is the logger's process alone, in shares of one core, from /proc.
"""

import argparse
import array
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edgevl_ros.dds import profile_variables  # noqa: E402

# Read when rclpy starts. The images need the profile; in a domain of its own no robot nearby is disturbed.
for name in profile_variables():
    os.environ.setdefault(name, str(ROOT / "config/fastdds.xml"))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))

from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from edgevl_ros.client import Client  # noqa: E402
from edgevl_ros.qos import stream_qos  # noqa: E402
from edgevl_ros.stamps import to_time  # noqa: E402

WIDTH, HEIGHT, HZ = 640, 480, 30
RGB_TOPIC, DEPTH_TOPIC = "camera/rgb/image_raw", "camera/depth/image_raw"
DISTINCT = 15  # different frames, sent over and over
WAIT_S = 30.0


def frames() -> list[tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    """Shaded walls at sloping distances, shifted from frame to frame, with the noise of a real sensor."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    made = []
    for k in range(DISTINCT):
        wall = np.floor((x + 12 * k) / 160) % 4
        shade = 60 + 40 * wall + 30 * np.sin(y / 90)
        colour = shade[..., None] * np.array([1.0, 0.9, 0.7], np.float32)
        rgb = np.clip(colour + rng.normal(0, 3, colour.shape), 0, 255).astype(np.uint8)
        depth_m = 1.5 + 0.8 * wall + y / 400
        depth_mm = 1000 * depth_m + rng.normal(0, 5, depth_m.shape)
        depth_mm[rng.random(depth_mm.shape) < 0.03] = 0
        made.append((rgb, np.clip(depth_mm, 0, 65535).astype(np.uint16)))
    return made


def message(pixels: NDArray[Any], encoding: str) -> Image:
    """An Image of these pixels; its stamp is set when it is sent."""
    image = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=pixels.strides[0])
    image.header.frame_id = "camera_optical_frame"
    data = array.array("B")
    data.frombytes(memoryview(pixels).cast("B"))
    image.data = data
    return image


def cpu_s(pid: int) -> float:
    """Processor time a process has used, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(client: Client) -> tuple[Any, Any]:
    """Publishers of RGB and depth that pair_logger has found."""
    qos = stream_qos("best_effort", 5)
    publishers = tuple(client.node.create_publisher(Image, topic, qos) for topic in (RGB_TOPIC, DEPTH_TOPIC))
    client.until(lambda: all(p.get_subscription_count() for p in publishers), "pair_logger's subscriptions", WAIT_S)
    settled_s = time.monotonic() + 1.0
    client.until(lambda: time.monotonic() > settled_s, "discovery to settle", WAIT_S)
    return publishers


def send(publishers: tuple[Any, Any], pairs: list[tuple[Image, Image]], count: int) -> None:
    """Publish ``count`` pairs at 30 Hz."""
    begin_s = time.monotonic()
    for k in range(count):
        time.sleep(max(0.0, begin_s + k / HZ - time.monotonic()))
        stamp = to_time(time.time_ns())
        for publisher, image in zip(publishers, pairs[k % DISTINCT]):
            image.header.stamp = stamp
            publisher.publish(image)


def measure(directory: Path, seconds: float, compression: str) -> dict[str, float]:
    """Run the logger, load it, stop it; the figures."""
    parameters = [f"directory:={directory}", "name:=log", "camera_info_topic:=''", f"compression:={compression}"]
    command = [sys.executable, "-m", "edgevl_ros.pair_logger", "--ros-args"]
    command += [part for parameter in parameters for part in ("-p", parameter)]
    with open(directory / "pair_logger.txt", "wb") as output:
        logger = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    client = Client("benchmark")
    try:
        stats = client.watch_stats("pair_logger/stats")
        client.until(lambda: stats().get("state") == "active", "pair_logger to become active", WAIT_S)
        publishers, sent = connect(client), round(seconds * HZ)
        pairs = [(message(rgb, "rgb8"), message(depth, "16UC1")) for rgb, depth in frames()]
        cpu_before_s, begin_s = cpu_s(logger.pid), time.monotonic()
        send(publishers, pairs, sent)
        # Until the bag is closed: what still waited in the queue is part of the work.
        if not client.call(Trigger, "pair_logger/stop", WAIT_S).success:
            raise RuntimeError("pair_logger refused to stop")
        wall_s = time.monotonic() - begin_s
        cpu_share = (cpu_s(logger.pid) - cpu_before_s) / wall_s
        last = client.until(lambda: stats().get("logger") == "stopped" and stats(), "the last statistics", WAIT_S)
    finally:
        client.close()
        logger.send_signal(signal.SIGINT)
        logger.wait(WAIT_S)
    kept = int(last["pairs_kept"])
    size_mb = sum(file.stat().st_size for file in (directory / "log").glob("*.mcap")) / 1e6
    return {
        "pairs_sent": sent,
        "pairs_kept": kept,
        "pairs_lost": sent - kept,
        "received_rgb": int(last["received_rgb"]),
        "received_depth": int(last["received_depth"]),
        "queue_full": sum(int(value) for key, value in last.items() if key.endswith("queue full")),
        "cpu_share_of_one_core": round(cpu_share, 3),
        "receive_to_written_p50_ms": float(last["receive_to_written_p50_ms"]),
        "receive_to_written_p99_ms": float(last["receive_to_written_p99_ms"]),
        "log_mb": round(size_mb, 1),
        "mb_per_s": round(size_mb / wall_s, 2),
        "seconds": round(wall_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to load the logger")
    parser.add_argument("--compression", choices=("zstd", "lz4", "none"), default="zstd", help="of the bag's chunks")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the temporary one")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="pair_logger_", dir=arguments.directory))
    try:
        figures = measure(directory, arguments.seconds, arguments.compression)
    finally:
        shutil.rmtree(directory)
    for name, value in figures.items():
        print(f"{name:28} {value:g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
