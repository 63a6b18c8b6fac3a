"""Our decoder against ROS 2's own cv_bridge; skipped where that is not installed (apt has it, the wheels have not)."""

import itertools

import numpy as np
import pytest
from sensor_msgs.msg import Image

from edgevl_core.camera.images import ImageFormatError, decode, layout
from edgevl_ros.node.images import cv2_to_imgmsg, cv_bridge, imgmsg_to_cv2

pytestmark = pytest.mark.unit
SIZE = (6, 8)
COLOUR = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "rgb16", "bgr16", "yuv422", "yuv422_yuy2", "bayer_rggb8")
PLAIN = ("16UC1", "32FC1", "8UC1", "8UC3", "64FC1")


@pytest.fixture
def bridge():
    found = cv_bridge()
    if found is None:
        pytest.skip("ROS 2's cv_bridge is not installed here")
    return found


def image(encoding: str) -> Image:
    """Random pixels of this encoding."""
    dtype, channels = layout(encoding)
    shape = SIZE if channels == 1 else (*SIZE, channels)
    return cv2_to_imgmsg(np.random.default_rng(0).integers(0, 200, shape).astype(dtype), encoding)


def test_without_a_conversion(bridge) -> None:
    for encoding in (*COLOUR, *PLAIN):
        message = image(encoding)
        ours = decode(message)
        np.testing.assert_array_equal(ours, bridge.imgmsg_to_cv2(message).reshape(ours.shape), err_msg=encoding)


@pytest.mark.parametrize("padding", [1, 2, 8, 24])
def test_what_the_nodes_read_honours_the_step(bridge, padding: int) -> None:
    for encoding in ("rgb8", "bgra8", "16UC1", "32FC1"):
        message = image(encoding)
        rows = np.frombuffer(message.data, np.uint8).reshape(SIZE[0], -1)
        padded = cv2_to_imgmsg(np.pad(rows, ((0, 0), (0, padding))), "8UC1")
        padded.encoding, padded.width = encoding, message.width
        np.testing.assert_array_equal(imgmsg_to_cv2(padded), bridge.imgmsg_to_cv2(message), err_msg=encoding)


def test_colour_conversions(bridge) -> None:
    for encoding, target in itertools.product(COLOUR, ("rgb8", "bgr8", "mono8")):
        message = image(encoding)
        ours, theirs = decode(message, target), np.asarray(bridge.imgmsg_to_cv2(message, target))
        # 16 to 8 bit may be rounded another way.
        np.testing.assert_allclose(ours.astype(int), theirs.astype(int), atol=1, err_msg=f"{encoding} to {target}")


def test_what_is_no_colour_is_refused_by_both(bridge) -> None:
    for encoding in PLAIN:
        message = image(encoding)
        with pytest.raises(ImageFormatError):
            decode(message, "rgb8")
        with pytest.raises(Exception, match=r".+"):
            bridge.imgmsg_to_cv2(message, "rgb8")
