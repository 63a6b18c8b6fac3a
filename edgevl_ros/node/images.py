"""The one seam with cv_bridge's API: the real ROS 2 cv_bridge where it is installed, our decoder elsewhere.

Pixels go into ``msg.data`` as an ``array.array`` filled from a memoryview: a numpy array assigned there
is checked element by element, about a thousand times slower.
"""

import array
import functools
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from edgevl_core.base.errors import UserError
from edgevl_core.camera.depth import MeasuredDepth, decode_depth, to_measured
from edgevl_core.camera.encodings import PLANES, layout
from edgevl_core.camera.images import ImageFormatError, decode, decode_as_it_is, decode_rgb

# cv_bridge 1.x is ROS 1; ROS 2's are 2.x and later (Humble 3.2, Jazzy 4.1).
FIRST_ROS2_MAJOR = 2


@functools.cache
def cv_bridge() -> Any | None:
    """A ``cv_bridge.CvBridge()`` of ROS 2, or None where there is no cv_bridge.

    Raises:
        UserError: the cv_bridge that would be imported is PyPI's leftover of ROS 1, which reads 16UC1 as 8 bit and
            ignores row padding without an error.
    """
    try:
        version = metadata.version("cv_bridge")
    except metadata.PackageNotFoundError:
        version = ""  # a CMake-installed cv_bridge may come without Python metadata
    if version and int(version.split(".")[0]) < FIRST_ROS2_MAJOR:
        raise UserError(
            f"cv_bridge {version} is a leftover of ROS 1 that misreads depth images: pip uninstall cv-bridge "
            "(and, if you want one, install ROS 2's: apt install ros-$ROS_DISTRO-cv-bridge)"
        )
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return None
    return CvBridge()


def imgmsg_to_cv2(message: Any, desired_encoding: str = "passthrough") -> NDArray[Any]:
    """The pixels of an Image, (H, W) or (H, W, C), converted to ``desired_encoding``; cv_bridge's rules.

    Without a conversion the pixels are a view of ``message.data``. Any object with an Image's fields will do.

    Raises:
        UserError: the message or the conversion is not possible.
    """
    bridge = cv_bridge()
    if bridge is None or _is_misread(message):
        return decode(message, None if desired_encoding == "passthrough" else desired_encoding)
    decode_as_it_is(message)  # a view: refuses sizes and steps that do not fit before cv_bridge takes memory for them
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding=desired_encoding))
    except Exception as error:  # CvBridgeError, or whatever OpenCV raises
        raise ImageFormatError(f"image of {message.encoding}: {error}") from error


def _is_misread(message: Any) -> bool:
    """Whether cv_bridge does not read it right: Humble's knows no nv12, and all cut rows into whole pixels.

    Raises:
        ImageFormatError: the encoding is unknown.
    """
    dtype, channels = layout(message.encoding)
    return message.encoding in PLANES or message.step % (dtype.itemsize * channels) != 0


def to_rgb(message: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a colour Image or CompressedImage. Raises UserError where it is none."""
    return decode_rgb(message) if hasattr(message, "format") else imgmsg_to_cv2(message, "rgb8")


def to_depth(message: Any) -> MeasuredDepth:
    """(H, W) of a depth message, uint16 millimetres or float32 metres. Raises UserError where it is none."""
    if hasattr(message, "format"):
        return decode_depth(message)
    return to_measured(imgmsg_to_cv2(message), message.encoding)


def cv2_to_imgmsg(pixels: NDArray[Any], encoding: str) -> Image:
    """An Image over a copy of ``pixels`` (H, W) or (H, W, C); the header is left empty.

    ``encoding`` is a name of sensor_msgs/image_encodings with the pixels' type and channels (rgb8, bgr8,
    mono8, 16UC1, 32FC1, ...); it is not checked against them, as it is a constant in the callers.
    """
    pixels = np.ascontiguousarray(pixels)
    data = array.array("B")
    data.frombytes(pixels.data.cast("B"))
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(pixels.dtype.str.startswith(">")),
        step=pixels.strides[0],
        data=data,
    )
