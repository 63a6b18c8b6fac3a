"""What the demo sees of its live drive: every answer, the truth it is held against, and overlay frames."""

from collections.abc import Callable
from typing import Any

from edgevl.msg import AdaptationStatus, LabelSet, LoggerStatus, SceneClass, SceneTruth
from sensor_msgs.msg import Image

from edgevl_core.pairlog.compressing import compress_rgb_msg
from edgevl_core.pairlog.decoded import decoded_rgb
from edgevl_ros.node.client import Client
from edgevl_ros.node.stamps import from_time

QUEUE = 50  # reliable, the last so many


class Recorder:
    """Listens to the whole graph of the demo.

    Attributes:
        client: to wait and to call services.
        scenes, truths: messages by header stamp (ns).
        overlays: the overlay's frames by header stamp, as CompressedImage: a drive's raw frames would fill the memory.
        classifier, player: give the node's latest statistics as a mapping, empty before the first.
        adaptation, logger, labels: give the latest AdaptationStatus, LoggerStatus and LabelSet, None before the first.
    """

    def __init__(self) -> None:
        self.client = Client("edgevl_demo")
        self.scenes: dict[int, SceneClass] = {}
        self.truths: dict[int, SceneTruth] = {}
        self.overlays: dict[int, Any] = {}
        self.classifier = self.client.watch_stats("scene_classifier/stats")
        self.player = self.client.watch_stats("bag_player/status")
        self.adaptation: Callable[[], Any] = self.client.watch(AdaptationStatus, "adaptation_manager/status")
        self.logger: Callable[[], Any] = self.client.watch(LoggerStatus, "pair_logger/status")
        self.labels: Callable[[], Any] = self.client.watch(LabelSet, "scene_classifier/labels")
        self.client.subscribe(SceneClass, "scene_classifier/scene", self._on_scene, QUEUE)
        self.client.subscribe(SceneTruth, "truth", self._on_truth, QUEUE)
        self.client.subscribe(Image, "label_overlay/image", self._on_overlay, QUEUE)

    def _on_scene(self, message: SceneClass) -> None:
        self.scenes[from_time(message.header.stamp)] = message

    def _on_truth(self, message: SceneTruth) -> None:
        self.truths[from_time(message.header.stamp)] = message

    def _on_overlay(self, message: Image) -> None:
        self.overlays[from_time(message.header.stamp)] = compress_rgb_msg(decoded_rgb(message)).message

    def forget_drive(self) -> None:
        """Drop what earlier drives left, statistics included, before a new one is recorded."""
        for kept in (self.scenes, self.truths, self.overlays):
            kept.clear()
        for topic in ("scene_classifier/stats", "bag_player/status"):
            self.client.forget(topic)
