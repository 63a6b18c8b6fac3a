"""ROS 2 message types without a ROS installation: build, serialise and read the messages of a pair log.

The type store holds the standard ROS 2 (Humble) interfaces, which are wire-compatible with every later
release for the messages used here, and edgevl's own SceneTruth and SceneClass. Nothing here loops over pixels: an
image is one buffer.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from edgevl_core.camera.encodings import layout
from edgevl_core.camera.limits import ImageFormatError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
SCENE_TRUTH = "edgevl/msg/SceneTruth"
SCENE_CLASS = "edgevl/msg/SceneClass"

SCENE_TRUTH_DEFINITION = """\
std_msgs/Header header
string room
string home
float32 furniture_fraction
"""
"""The fields of msg/SceneTruth.msg (a test keeps them equal): no compiled messages are needed for a bag."""

SCENE_CLASS_DEFINITION = """\
std_msgs/Header header
string label
float32 confidence
bool known
string[] labels
float32[] scores
string modality
string bundle_id
uint32 label_set_version
float32 latency_ms
"""
"""The fields of msg/SceneClass.msg (a test keeps them equal)."""


class BrokenMessage(ImageFormatError):
    """The bytes are no message of the type that they should be."""


@functools.cache
def typestore() -> Typestore:
    """The message types of a pair log: standard ROS 2 interfaces, SceneTruth and SceneClass."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(SCENE_TRUTH_DEFINITION, SCENE_TRUTH))
    store.register(get_types_from_msg(SCENE_CLASS_DEFINITION, SCENE_CLASS))
    return store


@functools.cache
def _type(name: str) -> Any:
    return typestore().types[name]


def header(stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header; ``stamp_ns`` is nanoseconds since the epoch of the sender's clock, >= 0."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = _type("builtin_interfaces/msg/Time")(sec=seconds, nanosec=nanoseconds)
    return _type("std_msgs/msg/Header")(stamp=stamp, frame_id=frame_id)


def header_stamp_ns(message: Any) -> int:
    """Nanoseconds of ``message.header.stamp`` (a message of rclpy or of this module)."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def image_msg(array: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/Image over the pixels of ``array`` (no copy when it is contiguous).

    Args:
        array: (H, W) or (H, W, C), dtype and C as ``encoding`` says: uint8 (H, W, 3) for rgb8, uint16 (H, W)
            for 16UC1, float32 (H, W) for 32FC1. Written in the array's own byte order.
        encoding: a name of sensor_msgs/image_encodings.

    Raises:
        ValueError: shape or dtype does not fit the encoding (a programming error, not a user's).
    """
    array = np.ascontiguousarray(array)
    dtype, channels = layout(encoding)
    shape_channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if shape_channels != channels or array.dtype.itemsize != dtype.itemsize:
        raise ValueError(f"array {array.shape} {array.dtype} is no {encoding} image")
    height, width = array.shape[:2]
    return _type(IMAGE)(
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(array.dtype.str.startswith(">")),
        step=width * channels * dtype.itemsize,
        data=array.reshape(-1).view(np.uint8),
    )


def compressed_image_msg(data: bytes, image_format: str, stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/CompressedImage around an encoded file; ``image_format`` as in ROS: "jpeg", "png", ..."""
    return _type(COMPRESSED_IMAGE)(
        header=header(stamp_ns, frame_id), format=image_format, data=np.frombuffer(data, np.uint8)
    )


def camera_info_msg(
    width: int, height: int, fx: float, fy: float, cx: float, cy: float, stamp_ns: int, frame_id: str
) -> Any:
    """A sensor_msgs/CameraInfo of a pinhole camera without distortion; all lengths in pixels."""
    region = _type("sensor_msgs/msg/RegionOfInterest")(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _type(CAMERA_INFO)(
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], np.float64),
        r=np.eye(3).reshape(-1),
        p=np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], np.float64),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def truth_msg(room: str, home: str, furniture_fraction: float, stamp_ns: int, frame_id: str) -> Any:
    """An edgevl/SceneTruth, for evaluation only; ``furniture_fraction`` of the pixels, 0..1."""
    return _type(SCENE_TRUTH)(
        header=header(stamp_ns, frame_id), room=room, home=home, furniture_fraction=furniture_fraction
    )


def serialize(message: Any) -> bytes:
    """Little-endian CDR bytes of a message of this module, as they go over DDS and into a bag."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


def deserialize(data: bytes | memoryview, msgtype: str) -> Any:
    """The message in ``data``; array fields are views into it, so an image is not copied.

    Raises:
        KeyError: ``msgtype`` is no standard type and not one of edgevl's.
        BrokenMessage: the bytes are cut short or damaged.
    """
    store = typestore()
    if msgtype not in store.fielddefs:
        raise KeyError(msgtype)
    try:
        return store.deserialize_cdr(memoryview(data), msgtype)  # a slice of bytes would be a copy
    except Exception as error:  # damaged bytes make the library raise anything
        raise BrokenMessage(f"{len(data)} bytes are no whole {msgtype}: cut off or damaged") from error


def definition(msgtype: str) -> str:
    """The complete definition, with those it contains, as MCAP's schema encoding "ros2msg" wants it.

    Raises:
        KeyError: ``msgtype`` is unknown.
    """
    if msgtype not in typestore().fielddefs:
        raise KeyError(msgtype)
    return typestore().generate_msgdef(msgtype, ros_version=2)[0]
