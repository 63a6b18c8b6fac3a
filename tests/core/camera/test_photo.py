"""Picture files of one's own."""

import cv2
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.camera.photo import read_photo
from tests.core.tiny import colour_image, exif, huge_png

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_a_picture_is_red_green_blue(tmp_path, suffix):
    rgb = colour_image("red")
    cv2.imwrite(str(tmp_path / f"picture{suffix}"), rgb[..., ::-1])
    np.testing.assert_array_equal(read_photo(tmp_path / f"picture{suffix}"), rgb)
    np.testing.assert_array_equal(read_photo(str(tmp_path / f"picture{suffix}")), rgb)


def test_a_photo_of_a_telephone_stands_upright(tmp_path):
    plain = cv2.imencode(".jpg", colour_image("blue", height=24, width=32))[1].tobytes()
    (tmp_path / "photo.jpg").write_bytes(plain[:2] + exif(6) + plain[2:])  # as stored, it lies on its left side
    assert read_photo(tmp_path / "photo.jpg").shape == (32, 24, 3)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((4, 6, 4), 9, np.uint8))
    for name in ("grey.png", "clear.png"):
        np.testing.assert_array_equal(read_photo(tmp_path / name), np.full((4, 6, 3), 9, np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "photo.jpg does not exist"), (b"", "photo.jpg is no picture"), (huge_png(), "at most 2.30 pixels")],
)
def test_what_is_no_picture_is_named(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_photo(tmp_path / "photo.jpg")
