"""A camera in a process of its own: 640x480 rgb8 and 16UC1 at 30 Hz, stamped with the wall clock as they are sent.

python camera.py COUNT SUBSCRIBERS: waits for so many subscribers of each stream, prints "ready", waits for a line on
its input, sends COUNT pairs and prints {"sent", "late_max_ms"}. Another line, or the end of its input, ends it early.

The images are a rendered-like scene with sensor noise, not uniform noise and not a constant: both would say nothing
about compression.
"""

import array
import json
import select
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from edgevl_ros.node.client import Client
from edgevl_ros.node.qos import stream_qos
from edgevl_ros.node.stamps import to_time

WIDTH, HEIGHT, HZ = 640, 480, 30
RGB_TOPIC, DEPTH_TOPIC = "camera/rgb/image_raw", "camera/depth/image_raw"
DISTINCT = 15  # different frames, sent over and over
WAIT_S = 60.0


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


def send(publishers: tuple[Any, Any], pairs: list[tuple[Image, Image]], count: int) -> dict[str, float]:
    """Publish up to ``count`` pairs at 30 Hz; how many, and how late the latest was."""
    begin_s, late_s, sent = time.monotonic(), 0.0, 0
    while sent < count and not select.select([sys.stdin], [], [], 0)[0]:
        due_s = begin_s + sent / HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_s = max(late_s, time.monotonic() - due_s)
        stamp = to_time(time.time_ns())
        for publisher, image in zip(publishers, pairs[sent % DISTINCT]):
            image.header.stamp = stamp
            publisher.publish(image)
        sent += 1
    return {"sent": sent, "late_max_ms": late_s * 1e3}


def main() -> None:
    """Send pairs once everybody listens and a line has come; print what was sent, as JSON."""
    count, subscribers = int(sys.argv[1]), int(sys.argv[2])
    client = Client("camera")
    try:
        qos = stream_qos("best_effort", 5)
        publishers = tuple(client.node.create_publisher(Image, topic, qos) for topic in (RGB_TOPIC, DEPTH_TOPIC))
        pairs = [(message(rgb, "rgb8"), message(depth, "16UC1")) for rgb, depth in frames()]
        client.until(
            lambda: all(p.get_subscription_count() >= subscribers for p in publishers), "the subscriptions", WAIT_S
        )
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(send(publishers, pairs, count)), flush=True)
    finally:
        client.close()


if __name__ == "__main__":
    main()
