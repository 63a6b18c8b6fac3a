"""Messages are built, serialised and read without a ROS installation."""

import numpy as np
import pytest

from edgevl_core.pairlog import types
from tests.paths import ROOT

pytestmark = pytest.mark.unit


def _fields(text: str) -> list[list[str]]:
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize(
    ("name", "definition"),
    [("SceneTruth", types.SCENE_TRUTH_DEFINITION), ("SceneClass", types.SCENE_CLASS_DEFINITION)],
)
def test_the_definition_is_the_one_in_msg(name: str, definition: str) -> None:
    assert _fields(definition) == _fields((ROOT / f"msg/{name}.msg").read_text())


def test_headers_are_those_of_ros_2() -> None:
    assert "seq" not in types.header(0, "").__dataclass_fields__


@pytest.mark.parametrize(
    ("array", "encoding", "step"),
    [
        (np.arange(24, dtype=np.uint8).reshape(2, 4, 3), "rgb8", 12),
        (np.arange(8, dtype=np.uint16).reshape(2, 4), "16UC1", 8),
        (np.arange(8, dtype=np.float32).reshape(2, 4), "32FC1", 16),
        (np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::2], "bgr8", 6),
        (np.arange(8, dtype=np.uint16).reshape(2, 4), "mono16", 8),
    ],
)
def test_image_survives_the_wire(array: np.ndarray, encoding: str, step: int) -> None:
    sent = types.image_msg(array, encoding, 1_500_000_000_000_000_007, "camera")
    got = types.deserialize(types.serialize(sent), types.IMAGE)
    assert (got.encoding, got.step, got.height, got.width) == (encoding, step, *array.shape[:2])
    assert types.header_stamp_ns(got) == 1_500_000_000_000_000_007
    assert got.header.frame_id == "camera"
    assert got.data.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("shape", "dtype", "encoding"),
    [((2, 2), "u1", "rgb8"), ((2, 2, 3), "u2", "rgb8"), ((2, 2), "f4", "16UC1"), ((2, 2), "u1", "jpeg")],
)
def test_array_that_does_not_fit_its_encoding_is_refused(shape: tuple, dtype: str, encoding: str) -> None:
    with pytest.raises(ValueError, match=encoding):
        types.image_msg(np.zeros(shape, dtype), encoding, 0, "")


def test_other_messages_survive_the_wire() -> None:
    info = types.camera_info_msg(320, 240, 200.0, 201.0, 160.0, 120.0, 5, "c")
    got = types.deserialize(types.serialize(info), types.CAMERA_INFO)
    assert (got.width, got.height) == (320, 240)
    assert list(got.k) == [200, 0, 160, 0, 201, 120, 0, 0, 1]
    truth = types.deserialize(types.serialize(types.truth_msg("Küche", "home 3", 0.25, 5, "c")), types.SCENE_TRUTH)
    assert (truth.room, truth.home, truth.furniture_fraction) == ("Küche", "home 3", 0.25)
    jpeg = types.deserialize(
        types.serialize(types.compressed_image_msg(b"\xff\xd8", "jpeg", 5, "c")), types.COMPRESSED_IMAGE
    )
    assert (jpeg.format, jpeg.data.tobytes()) == ("jpeg", b"\xff\xd8")


def test_definitions_are_complete() -> None:
    text = types.definition(types.SCENE_TRUTH)
    assert "MSG: std_msgs/Header" in text
    assert "MSG: builtin_interfaces/Time" in text
    with pytest.raises(KeyError):
        types.definition("nobody_msgs/msg/Nothing")
