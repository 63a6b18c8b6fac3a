"""One preprocessing for training and robot."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgevl_core.base.errors import UserError
from edgevl_core.camera.depth import ENCODINGS, encode_depth, to_measured, to_metres
from edgevl_core.camera.preprocess import Preprocess, shrink, to_batch, to_input

pytestmark = pytest.mark.unit
SIZES = st.integers(1, 90)


@settings(max_examples=40)
@given(height=SIZES, width=SIZES, size_px=st.integers(16, 64), rotation=st.sampled_from([0, 90, 180, 270]))
def test_any_image_becomes_a_square_of_pixels(height, width, size_px, rotation):
    p = Preprocess(size_px=size_px, rotation_deg=rotation)
    rgb = np.full((height, width, 3), 77, np.uint8)
    depth_m = np.full((height, width), 2.0, np.float32)
    for image in (rgb, depth_m):
        pixels = to_input(image, p)
        assert pixels.shape == (size_px, size_px, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
    assert (to_input(rgb, p) == 77).all()


def test_rgb_is_averaged_over_areas():
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, ::2] = 200
    assert (to_input(rgb, Preprocess(size_px=16)) == 100).all()


@pytest.mark.parametrize("size", [(480, 640), (481, 641), (1080, 1920)])
@pytest.mark.parametrize("size_px", [64, 224])
def test_detail_finer_than_a_pixel_becomes_its_mean(size, size_px):
    """No aliasing: a grid of single pixels becomes grey, and a picture what averaging over areas makes of it."""
    rows, columns = np.indices(size)
    grid = np.repeat(((rows + columns) % 2 * 200).astype(np.uint8)[..., None], 3, axis=2)
    assert (shrink(grid, size_px) == 100).all()
    waves = 127 + 60 * np.sin(18 * rows / size[0]) + 60 * np.cos(18 * columns / size[1])
    picture = np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)
    by_area = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(picture, size_px).astype(int) - by_area).mean() < 2


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_depth_takes_the_nearest_pixel_and_never_mixes_across_an_edge(encoding):
    depth_m = np.ones((48, 48), np.float32)
    depth_m[:, 24:] = 5.0
    depth_m[10:14] = np.nan
    pixels = to_input(depth_m, Preprocess(size_px=16, depth_encoding=encoding))
    allowed = {tuple(p) for p in encode_depth(depth_m, encoding).reshape(-1, 3)}
    assert {tuple(p) for p in pixels.reshape(-1, 3)} <= allowed
    assert len(allowed) == 3


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rotation", [0, 90])
def test_millimetres_and_metres_give_the_same_pixels(encoding, rotation):
    """Every millimetre that 16 bits hold, and the road of training beside the robot's."""
    raw = np.random.default_rng(0).permutation(65536).astype(np.uint16).reshape(256, 256)
    for size_px in (256, 100):
        p = Preprocess(size_px=size_px, depth_encoding=encoding, rotation_deg=rotation)
        in_metres = to_input(to_metres(raw), p)
        np.testing.assert_array_equal(to_input(to_measured(raw, "16UC1"), p), in_metres)


def test_holes_stay_holes():
    depth_m = np.full((32, 32), np.nan, np.float32)
    depth_m[:16] = 2.0
    pixels = to_input(depth_m, Preprocess(size_px=16))
    assert (pixels[8:] == 0).all()
    assert (pixels[:8, :, 2] > 0).all()


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_rotation_is_clockwise_and_the_same_for_both_cameras(rotation, turns):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    depth_m = rng.uniform(0.3, 6, (40, 64)).astype(np.float32)
    plain, turned = Preprocess(size_px=16), Preprocess(size_px=16, rotation_deg=rotation)
    for image in (rgb, depth_m):
        np.testing.assert_array_equal(to_input(image, turned), np.rot90(to_input(image, plain), turns))


def test_batch_is_channels_first_and_contiguous():
    images = [np.full((16, 16, 3), (1, 2, 3), np.uint8)] * 2
    batch = to_batch(images)
    assert batch.shape == (2, 3, 16, 16)
    assert batch.flags.c_contiguous
    assert batch[1, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.int32),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(UserError, match="image of shape"):
        to_input(image, Preprocess(size_px=16))


def test_parameters_are_checked_and_travel_as_json():
    p = Preprocess(size_px=96, depth_encoding="minmax", rotation_deg=270)
    assert Preprocess.model_validate_json(p.model_dump_json()) == p
    for wrong in ({"size_px": 8}, {"size_px": 64, "rotation_deg": 45}, {"size_px": 64, "sise": 1}):
        with pytest.raises(ValidationError):
            Preprocess(**wrong)
