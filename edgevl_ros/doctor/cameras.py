"""Listens to one camera topic for a while: rate, losses, size, unit of depth."""

import bisect
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np

from edgevl_core.base.findings import Finding
from edgevl_core.camera.depth import decode_depth
from edgevl_core.camera.doubts import UNIT_FIX, median_m, turn_doubt, unit_doubt
from edgevl_core.camera.images import ImageFormatError, decode_rgb
from edgevl_core.pairing.clock import ONE_STAMP_EACH
from edgevl_core.pairlog.cdr_header import stamp_ns
from edgevl_core.pairlog.image_topics import encoding_and_role
from edgevl_ros.node.client import Client
from edgevl_ros.node.qos import stream_qos
from edgevl_ros.node.streams import image_type, view

QUEUE = 200
MAX_LOST = 0.02
MAX_SKEW_S = 0.02


class CameraCheck:
    """One best-effort subscription, as edgevl's nodes have it. ``kind``: the type that is published."""

    def __init__(self, client: Client, topic: str, kind: str) -> None:
        self.topic = topic
        self.stamps: list[int] = []
        self._last = b""
        self._right_type = kind.endswith("/" + image_type(topic).__name__)
        if self._right_type:
            client.node.create_subscription(
                image_type(topic), topic, self._on_message, stream_qos("best_effort", QUEUE), raw=True
            )

    def _on_message(self, cdr: bytes) -> None:
        self.stamps.append(stamp_ns(cdr))
        self._last = cdr

    def is_depth(self) -> bool:
        """Whether what came is depth, by its encoding; by the topic's name where nothing came that can be read."""
        if self._last:
            with suppress(ImageFormatError):
                return encoding_and_role(view(self._last, self.topic))[1] == "depth"
        return "depth" in self.topic

    def findings(self, seconds: float, role: str) -> Iterator[Finding]:
        """What was heard within ``seconds``, where ``role`` ("rgb" or "depth") was to come."""
        if not self._right_type:
            yield Finding(
                False, f"{self.topic} is no image", "compressed topics end in /compressed or /compressedDepth"
            )
            return
        if len(self.stamps) < 2:
            yield Finding(
                False,
                f"{self.topic}: {len(self.stamps)} images in {seconds:g} s",
                "is the camera running? with images between processes, Fast DDS needs the profile config/fastdds.xml",
            )
            return
        yield from self._rate()
        try:
            yield self._depth() if role == "depth" else self._colour()
        except ImageFormatError as error:
            yield Finding(
                False,
                f"{self.topic}: {error}",
                "let the driver publish RGB as rgb8, bgr8 or JPEG, depth as 16UC1, 32FC1 or compressedDepth (png)",
            )

    def _rate(self) -> Iterator[Finding]:
        steps = np.array([b - a for a, b in pairwise(self.stamps)], dtype=np.float64) / 1e9
        if (steps <= 0).any():
            yield Finding(
                False,
                f"{self.topic}: {int((steps <= 0).sum())} stamps do not advance",
                ONE_STAMP_EACH,
            )
        period_s = float(np.median(steps))
        if period_s <= 0:
            return
        # A step of twice the usual period has lost one image.
        lost = int(np.maximum(np.rint(steps / period_s) - 1, 0).sum())
        share = lost / (len(self.stamps) + lost)
        what = f"{self.topic}: {1 / period_s:.1f} Hz, {len(self.stamps)} images received, {lost} missing between them"
        few = share <= MAX_LOST
        fix = "set the Fast DDS profile config/fastdds.xml for the camera's driver and for edgevl's nodes alike"
        yield Finding(few, what, "" if few else fix)

    def _colour(self) -> Finding:
        message = view(self._last, self.topic)
        height, width, _ = decode_rgb(message).shape
        what = f"{self.topic}: colour, {width}x{height}"
        doubt = turn_doubt(message)
        return Finding(None, what, doubt) if doubt else Finding(True, what)

    def _depth(self) -> Finding:
        message = view(self._last, self.topic)
        depth = decode_depth(message)
        valid = depth > 0  # NaN is not
        height, width = depth.shape
        what = f"{self.topic}: depth, {width}x{height}, {valid.mean():.0%} measured"
        middle_m = median_m(depth)
        if middle_m is None:
            return Finding(False, what, "is the sensor covered, or its projector off?")
        what += f", median {middle_m:.2f} m"
        doubt = unit_doubt(middle_m, depth.dtype == np.uint16)
        return Finding(not doubt, f"{what}{': ' + doubt if doubt else ''}", "" if not doubt else UNIT_FIX)

    def skew_to(self, other: "CameraCheck") -> Finding:
        """How far apart the stamps of the two cameras are, nearest to nearest."""
        theirs = sorted(other.stamps)
        if not theirs or not self.stamps:
            what = f"skew of {self.topic} and {other.topic}: not known, one of them is silent"
            return Finding(None, what, "see the silent topic above")
        skews_s = np.array([_nearest(theirs, stamp) for stamp in self.stamps]) / 1e9
        median_s = float(np.median(skews_s))
        fine = median_s <= MAX_SKEW_S
        p95_s = float(np.quantile(skews_s, 0.95))
        what = f"skew of {self.topic} and {other.topic}: median {median_s * 1e3:.1f} ms, p95 {p95_s * 1e3:.1f} ms"
        return Finding(fine, what, "" if fine else "synchronise the streams in the driver, or raise max_skew_s")


def _nearest(sorted_ns: list[int], stamp: int) -> int:
    at = bisect.bisect_left(sorted_ns, stamp)
    return min(abs(other - stamp) for other in sorted_ns[max(0, at - 1) : at + 1])
