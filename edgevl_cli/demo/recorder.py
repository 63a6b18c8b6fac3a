"""What the demo sees of its live drive: every answer, the truth it is held against, and overlay frames."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import AdaptationStatus, LoggerStatus, SceneClass, SceneTruth
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from edgevl_core.images import decode_rgb

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CLIENT_SETTLES_S = 0.5
STREAM = 50  # reliable, the last so many


def _stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


@dataclass
class Recording:
    """Messages by header stamp (ns), and the last status of each node."""

    scenes: dict[int, SceneClass] = field(default_factory=dict)
    truths: dict[int, SceneTruth] = field(default_factory=dict)
    overlays: dict[int, np.ndarray] = field(default_factory=dict)
    """JPEG bytes: a drive's raw frames would fill the memory."""
    statuses: dict[str, DiagnosticStatus] = field(default_factory=dict)
    adaptation: AdaptationStatus | None = None
    logger: LoggerStatus | None = None

    def counts(self, node: str) -> dict[str, str]:
        """The key-value pairs of a node's latched status, empty before its first one."""
        status = self.statuses.get(node)
        return {} if status is None else {pair.key: pair.value for pair in status.values}


class Recorder:
    """A node that listens to the whole graph of the demo and calls its services."""

    def __init__(self) -> None:
        rclpy.init()
        self.node: Node = rclpy.create_node("edgevl_demo")
        self.recording = Recording()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._subscribe()

    def _subscribe(self) -> None:
        seen = self.recording

        def scene(message: SceneClass) -> None:
            seen.scenes[_stamp_ns(message)] = message

        def truth(message: SceneTruth) -> None:
            seen.truths[_stamp_ns(message)] = message

        def overlay(message: Image) -> None:
            bgr = cv2.cvtColor(decode_rgb(message), cv2.COLOR_RGB2BGR)
            seen.overlays[_stamp_ns(message)] = cv2.imencode(".jpg", bgr)[1]

        def status(node: str) -> Callable[[DiagnosticStatus], None]:
            return lambda message: seen.statuses.__setitem__(node, message)

        def adaptation(message: AdaptationStatus) -> None:
            seen.adaptation = message

        def logger(message: LoggerStatus) -> None:
            seen.logger = message

        subscribe = self.node.create_subscription
        subscribe(SceneClass, "scene_classifier/scene", scene, 50)
        subscribe(SceneTruth, "truth", truth, STREAM)
        subscribe(Image, "label_overlay/image", overlay, STREAM)
        subscribe(DiagnosticStatus, "scene_classifier/stats", status("scene_classifier"), LATCHED)
        subscribe(DiagnosticStatus, "bag_player/status", status("bag_player"), LATCHED)
        subscribe(AdaptationStatus, "adaptation_manager/status", adaptation, LATCHED)
        subscribe(LoggerStatus, "pair_logger/status", logger, LATCHED)

    def spin_until(
        self, condition: Callable[[], bool], *, timeout_s: float, what: str, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Handle messages until ``condition`` holds. ``alive`` may raise when waiting has become pointless.

        Raises:
            TimeoutError: ``what`` did not happen within ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not happen within {timeout_s:.0f} s")
            alive()
            self._executor.spin_once(timeout_sec=0.1)

    def call(self, service_type: Any, name: str, request: Any, *, timeout_s: float = 30.0) -> Any:
        """Call a service and return its response.

        Raises:
            TimeoutError: no such service, or no answer, within ``timeout_s``.
        """
        client = self.node.create_client(service_type, name)
        self.spin_until(client.service_is_ready, timeout_s=timeout_s, what=f"service {name} to appear")
        # ROS 2 tells a client that its own side is ready; a server that does not know the client yet drops its answer.
        settled_s = time.monotonic() + CLIENT_SETTLES_S
        self.spin_until(lambda: time.monotonic() > settled_s, timeout_s=timeout_s, what="the client to settle")
        future = client.call_async(request)
        self.spin_until(future.done, timeout_s=timeout_s, what=f"an answer of service {name}")
        self.node.destroy_client(client)
        return future.result()

    def forget_drive(self) -> None:
        """Drop what earlier drives left, statuses included, before a new one is recorded."""
        for kept in (self.recording.scenes, self.recording.truths, self.recording.overlays, self.recording.statuses):
            kept.clear()

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()
        # Else DDS threads would live on into the interpreter's end, where they can hang.
        gc.collect()
