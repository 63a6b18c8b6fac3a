"""label_overlay: draws each scene into the RGB image it belongs to, for rviz: an Image and a text Marker.

An answer comes a little after its image, so recent images wait, as bytes, until an answer names their stamp. Nothing is
kept or drawn while nobody looks. The subscriptions stay even then: taking one down just when a viewer leaves is what
Fast DDS can get stuck in (see exit_guard).
"""

import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgevl.msg import LabelSet, SceneClass
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from edgevl_core.base.waiting import too_large
from edgevl_core.camera.images import encode_jpeg
from edgevl_core.draw.lettering import FontFile, Lettering, Strokes, ascii_text
from edgevl_core.draw.overlay import draw_scene, viewable
from edgevl_core.pairlog.types import header_stamp_ns
from edgevl_ros.node.diagnostics import OK, WARN, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.images import cv2_to_imgmsg, cv_bridge, to_rgb
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.parameters import parameter
from edgevl_ros.node.qos import LATCHED, StreamParameters, result_qos
from edgevl_ros.node.releases import publishers_of
from edgevl_ros.node.runner import run
from edgevl_ros.node.stamps import from_time, to_time
from edgevl_ros.node.streams import RawStream, image_type, view


@dataclass(frozen=True)
class OverlayParameters(StreamParameters):
    """label_overlay's parameters."""

    rgb_topic: str = parameter("camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed")
    scene_topic: str = parameter("scene_classifier/scene", "edgevl/SceneClass")
    labels_topic: str = parameter("scene_classifier/labels", "edgevl/LabelSet, the words in force")
    buffer_length: int = parameter(60, "images, and answers, that may wait for each other", low=1, high=1000)
    max_skew_s: float = parameter(0.02, "how near an RGB image of an answer from depth is", low=0.0, high=1.0)
    font: str = parameter(
        "", "font file (.ttf, .otf, .ttc) for labels in the letters of any language, drawn by Pillow; empty: ASCII only"
    )
    compressed: bool = parameter(False, "publish ~/image/compressed (JPEG) as well")
    marker_distance_m: float = parameter(1.0, "of the text from the camera", low=0.0, high=100.0)
    marker_height_m: float = parameter(0.1, "height of the text's letters", low=0.001, high=10.0)


# As image_transport names a JPEG of an rgb8 image.
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"
JPEG_QUALITY = 85
KNOWN_RGBA = (0.2, 1.0, 0.3, 1.0)
UNKNOWN_RGBA = (1.0, 0.6, 0.1, 1.0)


class Waiting(OrderedDict[int, Any]):
    """Things by stamp (ns), in the order they came; the oldest is given up beyond ``length`` or ``too_large``."""

    def __init__(self, length: int, size_of: Callable[[Any], int] = lambda item: 0) -> None:
        super().__init__()
        self.given_up = 0
        self._length, self._size_of = length, size_of

    def put(self, stamp_ns: int, item: Any) -> None:
        self.given_up += stamp_ns in self  # a stamp that comes twice
        self[stamp_ns] = item
        while len(self) > self._length or too_large([self._size_of(waiting) for waiting in self.values()]):
            self.popitem(last=False)
            self.given_up += 1

    def give_up_before(self, stamp_ns: int) -> None:
        """Give up everything older than ``stamp_ns``."""
        for old in [stamp for stamp in self if stamp < stamp_ns]:
            del self[old]
            self.given_up += 1

    def nearest(self, stamp_ns: int, max_skew_ns: int) -> int | None:
        """The stamp nearest to ``stamp_ns``, at most ``max_skew_ns`` away."""
        if stamp_ns in self:
            return stamp_ns
        best = min(self, key=lambda other: abs(other - stamp_ns), default=None)
        return best if best is not None and abs(best - stamp_ns) <= max_skew_ns else None


class LabelOverlay(ManagedNode[OverlayParameters]):
    """See the module's text. ~/image (rgb8, stamp and frame of the input), ~/image/compressed, ~/marker.

    ``~/stats`` accounts for every image: received_rgb = drawn + idle + without_answer + waiting + failed +
    rgb_unreadable (no header). An image whose answer comes again, by other words, is drawn again: "redrawn".
    """

    def __init__(self) -> None:
        super().__init__("label_overlay", OverlayParameters)
        self._drawn = self._redrawn = self._idle = self._failed = self._scenes_received = 0
        self._last: tuple[int, bytes] | None = None  # what was drawn last: stamp of its answer, the image
        self._rgb: RawStream | None = None
        self._answers: Any = None  # the subscription, while there is one
        self._frames, self._scenes = Waiting(1), Waiting(1)

    def setup(self) -> None:
        cv_bridge()  # refuses a broken one now, not at the first image
        self._lettering: Lettering = FontFile(self.parameters.path("font")) if self.parameters.font else Strokes()
        self._image = self.add_publisher(Image, "~/image", result_qos())
        self._compressed = None
        if self.parameters.compressed:
            self._compressed = self.add_publisher(CompressedImage, "~/image/compressed", result_qos())
        self._marker = self.add_publisher(Marker, "~/marker", result_qos())

    def start(self) -> None:
        self._drawn = self._redrawn = self._idle = self._failed = self._scenes_received = 0
        self._last = None
        length = self.parameters.buffer_length
        self._frames, self._scenes = Waiting(length, len), Waiting(length)
        topic = self.parameters.rgb_topic
        self._rgb = RawStream(self, image_type(topic), topic, self._on_rgb)
        self._answers = self.add_subscription(SceneClass, self.parameters.scene_topic, self._on_scene, result_qos())
        self.subscriptions_end.callback(setattr, self, "_answers", None)
        self.add_subscription(LabelSet, self.parameters.labels_topic, self._on_labels, LATCHED)

    def _on_rgb(self, stamp_ns: int, cdr: bytes) -> None:
        if not self._viewers():
            self._idle += 1
            return
        answered = self._scenes.nearest(stamp_ns, self._max_skew_ns())
        if answered is not None:
            self._draw(cdr, self._scenes.pop(answered))
            return
        self._frames.put(stamp_ns, cdr)

    def _on_scene(self, scene: SceneClass) -> None:
        self._scenes_received += 1
        if self._marker.get_subscription_count():
            self._publish_marker(scene)
        stamp_ns = from_time(scene.header.stamp)
        last = self._last
        # The same frame by other words. Where stamps stand still, one that waits is another.
        if last is not None and last[0] == stamp_ns and stamp_ns not in self._frames:
            if self._viewers():
                self._publish_picture(last[1], scene)
                self._redrawn += 1
            return
        shown = self._frames.nearest(stamp_ns, self._max_skew_ns())
        if shown is None:
            if self._viewers():
                self._scenes.put(stamp_ns, scene)
            return
        cdr = self._frames.pop(shown)
        # Answers come in time order: images before the answered one will have no answer any more.
        self._frames.give_up_before(shown)
        self._draw(cdr, scene)

    def _viewers(self) -> int:
        """Who looks at the images."""
        publishers = (self._image, self._compressed)
        return sum(publisher.get_subscription_count() for publisher in publishers if publisher is not None)

    def _max_skew_ns(self) -> int:
        return round(self.parameters.max_skew_s * 1e9)

    def _draw(self, cdr: bytes, scene: SceneClass) -> None:
        """Draw an image's first answer."""
        try:
            self._publish_picture(cdr, scene)
        except Exception:
            self._failed += 1
            raise
        self._last = (from_time(scene.header.stamp), cdr)
        self._drawn += 1

    def _publish_picture(self, cdr: bytes, scene: SceneClass) -> None:
        source = view(cdr, self.parameters.rgb_topic)
        picture = draw_scene(viewable(to_rgb(source)), scene, self._lettering)
        header = Header(stamp=to_time(header_stamp_ns(source)), frame_id=source.header.frame_id)
        if self._image.get_subscription_count():
            message = cv2_to_imgmsg(picture, "rgb8")
            message.header = header
            self._image.publish(message)
        if self._compressed is not None and self._compressed.get_subscription_count():
            jpeg = array.array("B", encode_jpeg(picture, JPEG_QUALITY))
            self._compressed.publish(CompressedImage(header=header, format=JPEG_FORMAT, data=jpeg))

    def _on_labels(self, label_set: LabelSet) -> None:
        """Say, before the first answer, which label cannot be drawn as it is written."""
        lost = next((label for label in label_set.labels if "?" in ascii_text(label)), None)
        if lost is not None and not self.parameters.font:
            self.get_logger().warning(f"label {lost} cannot be drawn with ASCII letters: set font to a font file")

    def _publish_marker(self, scene: SceneClass) -> None:
        marker = Marker(ns="scene", id=0, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        marker.header = scene.header
        marker.text = f"{scene.label} {scene.confidence:.0%}" if scene.known else f"unknown ({scene.label}?)"
        marker.pose.position.z = self.parameters.marker_distance_m  # optical frame: z looks ahead
        marker.pose.orientation.w = 1.0
        marker.scale.z = self.parameters.marker_height_m
        rgba = KNOWN_RGBA if scene.known else UNKNOWN_RGBA
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = rgba
        self._marker.publish(marker)

    def report(self) -> Report:
        problem = self._rgb.problem() if self._rgb is not None else ""
        values: dict[str, object] = {"drawn": self._drawn, "received_scenes": self._scenes_received}
        values["publishers_scenes"] = 0 if self._answers is None else publishers_of(self, self._answers)
        if self._answers is not None and not values["publishers_scenes"]:
            topic = self.parameters.scene_topic
            problem = problem or f"{topic}: nobody publishes it: start scene_classifier, or set scene_topic"
        if self._rgb is not None:
            values.update(self._rgb.values("rgb"))
        values.update(redrawn=self._redrawn, idle=self._idle, failed=self._failed)
        values["without_answer"], values["waiting"] = self._frames.given_up, len(self._frames)
        values["without_image"] = self._scenes.given_up
        values["image_subscribers"] = self._image.get_subscription_count()
        if self._compressed is not None:
            values["compressed_subscribers"] = self._compressed.get_subscription_count()
        values["marker_subscribers"] = self._marker.get_subscription_count()
        doing = f"{self._drawn} images drawn" if self._viewers() else "idle: nobody looks at the images"
        return Report(WARN if problem else OK, problem or doing, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(LabelOverlay, OverlayParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
