"""Picture files of one's own."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from edgevl_core.base.errors import UserError
from edgevl_core.camera.photo import read_photo
from tests.core.tiny import colour_image

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_a_picture_is_red_green_blue(tmp_path, suffix):
    rgb = colour_image("red")
    Image.fromarray(rgb).save(tmp_path / f"picture{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(read_photo(tmp_path / f"picture{suffix}"), rgb)
    np.testing.assert_array_equal(read_photo(str(tmp_path / f"picture{suffix}")), rgb)


def test_a_photo_of_a_telephone_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # as stored, it lies on its left side
    buffer = io.BytesIO()
    Image.fromarray(colour_image("blue", height=24, width=32)).save(buffer, "JPEG", exif=exif)
    (tmp_path / "photo.jpg").write_bytes(buffer.getvalue())
    assert read_photo(tmp_path / "photo.jpg").shape == (32, 24, 3)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((4, 6, 4), 9, np.uint8))
    for name in ("grey.png", "clear.png"):
        np.testing.assert_array_equal(read_photo(tmp_path / name), np.full((4, 6, 3), 9, np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "reason"), [("a.jpg", None, "does not exist"), ("b.jpg", b"", "no picture")]
)
def test_what_is_no_picture_is_named(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} .*{reason}|{name} is {reason}"):
        read_photo(tmp_path / name)
