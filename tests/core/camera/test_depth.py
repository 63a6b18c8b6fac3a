"""Units of depth, and the pixels a network is given."""

import numpy as np
import pytest

from edgevl_core.camera.depth import ENCODINGS, decode_depth, encode_depth, to_measured, to_metres, to_millimetres
from edgevl_core.camera.images import ImageFormatError
from edgevl_core.pairlog.types import image_msg

pytestmark = pytest.mark.unit

NAN = np.nan


def test_millimetres_and_metres() -> None:
    millimetres = np.array([[0, 1, 1500, 65535]], np.uint16)
    for encoding in ("16UC1", "mono16"):
        measured = to_measured(millimetres, encoding)
        assert measured is millimetres
        depth_m = to_metres(measured)
        assert depth_m.dtype == np.float32
        np.testing.assert_allclose(depth_m, [[NAN, 0.001, 1.5, 65.535]], rtol=1e-6)
    metres = np.array([[0.0, NAN, np.inf, -np.inf, -1.0, 2.5]], np.float32)
    np.testing.assert_array_equal(to_metres(to_measured(metres, "32FC1")), [[NAN, NAN, NAN, NAN, NAN, 2.5]])


def test_every_millimetre_comes_back_from_metres() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_millimetres(to_metres(every)), every)


def test_the_input_is_not_changed() -> None:
    metres = np.array([[0.0, 2.5]], np.float32)
    to_metres(to_measured(metres, "32FC1"))
    assert metres[0, 0] == 0.0


def test_what_is_no_depth_is_refused() -> None:
    with pytest.raises(ImageFormatError, match="rgb8"):
        to_measured(np.zeros((2, 2), np.uint8), "rgb8")
    with pytest.raises(ImageFormatError, match="one channel"):
        to_measured(np.zeros((2, 2, 3), np.uint16), "16UC1")


def test_decode_depth_of_messages() -> None:
    message = image_msg(np.array([[0, 2000]], np.uint16), "16UC1", 0, "")
    np.testing.assert_array_equal(decode_depth(message), [[0, 2000]])
    swapped = image_msg(np.array([[0, 2000]], ">u2"), "16UC1", 0, "")
    np.testing.assert_array_equal(decode_depth(swapped), [[0, 2000]])
    with pytest.raises(ImageFormatError):
        decode_depth(image_msg(np.zeros((2, 2, 3), np.uint8), "rgb8", 0, ""))


def test_metric_is_depth_inverse_depth_and_validity() -> None:
    depth_m = np.array([[NAN, 0.1, 0.2, 0.4, 1.0, 5.0, 10.0, 30.0]], np.float32)
    expected = [
        (0, 0, 0),
        (3, 255, 255),
        (5, 255, 255),
        (10, 128, 255),
        (26, 51, 255),
        (128, 10, 255),
        (255, 5, 255),
        (255, 2, 255),
    ]
    pixels = encode_depth(depth_m, "metric")
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.abs(pixels[0].astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(pixels[0, 0], 0)


def test_the_logarithm_of_the_depth_is_a_grey_picture() -> None:
    depth_m = np.array([[NAN, 0.0, 0.1, 0.3, 3**0.5, 10.0, 30.0]], np.float32)
    pixels = encode_depth(depth_m, "log")
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 0, 1, 1, 128, 255, 255])
    assert (pixels == pixels[..., :1]).all()
    # The same step everywhere: a share of the depth, as an eye has it.
    steps = np.diff(encode_depth(np.geomspace(0.4, 9, 400, dtype=np.float32)[None], "log")[0, :, 0].astype(int))
    assert set(steps.tolist()) <= {0, 1}


def test_minmax_stretches_each_image_over_its_own_range() -> None:
    depth_m = np.array([[[1.0, 2.0], [3.0, NAN]], [[5.0, 5.0], [5.0, 10.0]]], np.float32)
    pixels = encode_depth(depth_m, "minmax")
    np.testing.assert_array_equal(pixels[0, ..., 0], [[85, 170], [255, 0]])  # the hole counts as 0
    np.testing.assert_array_equal(pixels[1, ..., 0], [[0, 0], [0, 255]])
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("value", [NAN, 0.0])
def test_blank_frames_give_no_signal(name: str, value: float) -> None:
    pixels = encode_depth(np.full((4, 5), value, np.float32), name)
    np.testing.assert_array_equal(pixels, 0)


def test_a_flat_frame_divides_by_nothing() -> None:
    np.testing.assert_array_equal(encode_depth(np.full((4, 5), 3.0, np.float32), "minmax"), 0)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_batch_is_its_images(name: str) -> None:
    depth_m = np.random.default_rng(0).uniform(0.2, 12.0, (2, 3, 6, 8)).astype(np.float32)
    depth_m[depth_m < 1.0] = NAN
    batch = encode_depth(depth_m, name)
    assert batch.shape == (2, 3, 6, 8, 3)
    np.testing.assert_array_equal(batch[1, 2], encode_depth(depth_m[1, 2], name))
    assert encode_depth(depth_m[:, :0], name).shape == (2, 0, 6, 8, 3)


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="metric"):
        encode_depth(np.zeros((2, 2), np.float32), "turbo")
