"""label_overlay with answers of hand-made stamps."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import SceneClass
from sensor_msgs.msg import Image

from edgevl_ros.node.images import cv2_to_imgmsg, to_rgb
from edgevl_ros.node.qos import result_qos, stream_qos
from tests.ros import harness
from tests.ros.classifying import NODE

pytestmark = pytest.mark.ros


def test_each_image_is_shown_though_stamps_stand_still(graph):
    """A driver that stamps nothing: each answer is about the image that waits, not about the one drawn before."""
    shown = []
    graph.subscribe(Image, "label_overlay/image", lambda message: shown.append(int(to_rgb(message)[120, 160, 0])))
    stats = graph.watch_stats("label_overlay/stats")
    images = graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("reliable", 100))
    scenes = graph.probe.create_publisher(SceneClass, f"{NODE}/scene", result_qos())
    graph.start("label_overlay", **harness.RELIABLE)
    for key in ("publishers_rgb", "publishers_scenes", "image_subscribers"):
        graph.wait_for_hearers(stats, key)
    graph.until(lambda: images.get_subscription_count() and scenes.get_subscription_count(), "the overlay")
    levels = [40, 80, 120]
    for number, level in enumerate(levels):
        images.publish(cv2_to_imgmsg(np.full((240, 320, 3), level, np.uint8), "rgb8"))
        graph.until(lambda: stats().get("waiting") == "1", "an image that waits for its answer")
        scenes.publish(SceneClass(label="kitchen", known=True, confidence=0.9))
        graph.until(lambda wanted=levels[: number + 1]: shown == wanted and stats()["waiting"] == "0", "its picture")
    # Other words for the last one.
    scenes.publish(SceneClass(label="bath", known=True, confidence=0.9))
    graph.until(lambda: stats()["redrawn"] == "1", "the last picture once more")
    graph.until(lambda: len(shown) == 4, "it")
    assert shown == [*levels, levels[-1]]
    assert stats()["drawn"] == "3"


def test_an_overlay_that_no_classifier_answers_says_so(graph):
    report = graph.watch(DiagnosticStatus, "label_overlay/stats")
    graph.start("label_overlay", **harness.RELIABLE)
    images = graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("reliable", 100))
    graph.until(images.get_subscription_count, "the overlay")

    def said(what: str, level: bytes) -> None:
        def told() -> bool:
            image = cv2_to_imgmsg(np.zeros((48, 64, 3), np.uint8), "rgb8")
            image.header.stamp = graph.probe.get_clock().now().to_msg()
            images.publish(image)  # RGB itself is well
            return report() is not None and what in report().message

        graph.until(told, what)
        assert report().level == level

    said("scene_classifier/scene: nobody publishes it: start scene_classifier", DiagnosticStatus.WARN)
    graph.probe.create_publisher(SceneClass, f"{NODE}/scene", result_qos())
    said("nobody looks at the images", DiagnosticStatus.OK)
