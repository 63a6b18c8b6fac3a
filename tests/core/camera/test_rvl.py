"""RVL against an encoder written number by number, and against words worked out by hand."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgevl_core.camera.depth import decode_depth, to_metres
from edgevl_core.camera.images import ImageFormatError, decode, message_encoding
from tests.core.camera.rvl import encode_rvl

pytestmark = pytest.mark.unit

HEADER = struct.pack("<iff", 0, 0.0, 0.0)


def message(depth: np.ndarray, name: str = "16UC1; compressedDepth rvl", header: bytes = HEADER) -> SimpleNamespace:
    height, width = depth.shape
    return SimpleNamespace(format=name, data=header + struct.pack("<II", width, height) + encode_rvl(depth))


def test_a_picture_worked_out_by_hand() -> None:
    """Two holes, then 5 and 4: runs 2, 2; differences 5 and -1 are 10 = 2 + 1 * 8 and 1; groups 2 2 A 1 1."""
    word = struct.pack("<I", 0x22A11000)
    data = HEADER + struct.pack("<II", 4, 1) + word
    assert encode_rvl(np.array([[0, 0, 5, 4]], np.uint16)) == word
    picture = decode(SimpleNamespace(format="16UC1; compressedDepth rvl", data=data))
    assert (picture.dtype, picture.tolist()) == (np.uint16, [[0, 0, 5, 4]])


@settings(max_examples=60)
@given(
    arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 900, 65535]))
)
def test_every_picture_comes_back(depth: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(message(depth)), depth)


def test_depth_of_a_camera() -> None:
    rng = np.random.default_rng(0)
    smooth = 1500 + np.cumsum(rng.integers(-3, 4, (48, 64)), 1)
    depth = np.where(rng.random((48, 64)) < 0.1, 0, smooth).astype(np.uint16)
    assert message_encoding(message(depth)) == "16UC1"
    depth_m = to_metres(decode_depth(message(depth)))
    np.testing.assert_array_equal(np.isnan(depth_m), depth == 0)
    np.testing.assert_allclose(depth_m[depth > 0], depth[depth > 0] / 1000, rtol=1e-6)


def test_quantised_float_depth() -> None:
    quantised = np.array([[0, 1000, 2000]], np.uint16)
    header = struct.pack("<iff", 1, 4000.0, -1000.0)
    depth_m = decode_depth(message(quantised, "32FC1; compressedDepth rvl", header))
    np.testing.assert_allclose(depth_m, [[np.nan, 2.0, 4000 / 3000]], rtol=1e-6)


def test_what_was_cut_off_is_refused() -> None:
    whole = message(np.arange(1, 401, dtype=np.uint16).reshape(20, 20) * 50)
    for length in range(len(whole.data) - 4):
        with pytest.raises(ImageFormatError):
            decode(SimpleNamespace(format=whole.format, data=whole.data[:length]))
