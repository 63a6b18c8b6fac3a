"""Pictures for people."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgevl_core.errors import UserError
from edgevl_core.overlay import KNOWN, TRACK, UNKNOWN, ascii_text, contact_sheet, draw_scene

pytestmark = pytest.mark.unit


def _scene(**changes):
    fields = {
        "label": "living room",
        "confidence": 0.87,
        "known": True,
        "labels": ["living room", "office", "hallway", "gym"],
        "scores": [0.87, 0.1, 0.02, 0.01],
        "modality": "rgbd",
    }
    return SimpleNamespace(**{**fields, **changes})


def _has(image, colour):
    return bool((np.abs(image.astype(int) - colour).sum(axis=2) < 12).any())


@pytest.mark.parametrize("shape", [(96, 128, 3), (240, 320, 3), (480, 640, 3), (720, 480, 3), (8, 8, 3)])
@pytest.mark.parametrize("level", [0, 255])
def test_drawn_on_a_copy_of_any_size(shape, level):
    rgb = np.full(shape, level, np.uint8)
    drawn = draw_scene(rgb, _scene())
    assert drawn.shape == shape
    assert drawn.dtype == np.uint8
    assert (rgb == level).all()
    assert not (drawn == level).all()
    assert (drawn[: shape[0] // 4] == level).all() or shape[0] < 96  # the view stays free


def test_known_and_unknown_have_their_own_colours():
    rgb = np.full((240, 320, 3), 90, np.uint8)
    known, unknown = draw_scene(rgb, _scene()), draw_scene(rgb, _scene(known=False))
    assert _has(known, KNOWN)
    assert not _has(known, UNKNOWN)
    assert _has(unknown, UNKNOWN)
    assert not _has(unknown, KNOWN)


def test_a_longer_bar_for_a_larger_score():
    rgb = np.zeros((240, 320, 3), np.uint8)

    def green(score):
        drawn = draw_scene(rgb, _scene(scores=[score, 0, 0, 0], label="a")).astype(int)
        return int((np.abs(drawn - KNOWN).sum(axis=2) < 12).sum())

    assert green(0.1) < green(0.5) < green(1.0)


def test_long_names_take_room_from_the_bars():
    rgb = np.zeros((480, 640, 3), np.uint8)

    def first_track_px(name):
        drawn = draw_scene(rgb, _scene(labels=["kitchen", name], scores=[0.0, 0.0])).astype(int)
        columns = np.flatnonzero((np.abs(drawn - TRACK).sum(axis=2) < 6).sum(axis=0) > 8)
        return columns[0]

    short, long, endless = (first_track_px(name) for name in ("hall", "conference room 2", "x" * 300))
    assert short < long < endless <= 640 // 2 + 20


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "Küche", "labels": ["Küche"], "scores": [1.0]},
        {"label": "浴室", "labels": ["浴室", "x" * 300], "scores": [0.6, 0.4]},
        {"label": "", "labels": [], "scores": []},
        {"scores": [1.7, -0.5, float(np.float32(0.3)), 0.0], "confidence": 1.2},
    ],
)
def test_any_words_and_numbers_can_be_drawn(changes):
    assert draw_scene(np.zeros((240, 320, 3), np.uint8), _scene(**changes)).shape == (240, 320, 3)


def test_text_becomes_ascii():
    assert ascii_text("Küche,\n Eßzimmer café – l’Œuvre 浴") == "Kuche, Esszimmer cafe - l'OEuvre ?"


def test_a_grey_image_is_refused():
    with pytest.raises(UserError, match="RGB"):
        draw_scene(np.zeros((240, 320), np.uint8), _scene())


def test_sheet_holds_every_picture():
    images = [np.full((60, 80, 3), 50 * i, np.uint8) for i in range(1, 6)]
    images[3] = np.full((120, 160, 3), 200, np.uint8)  # another size
    sheet = contact_sheet(images, [f"picture {i}" for i in range(5)], columns=3)
    for image in images:
        level = int(image[0, 0, 0])
        assert (sheet == level).all(axis=2).sum() >= 60 * 80
    single = contact_sheet(images[:1], ["one"], columns=4)
    assert single.shape[1] < 2 * 80


@pytest.mark.parametrize(("count", "captions", "columns"), [(0, 0, 1), (2, 1, 1), (1, 1, 0)])
def test_a_sheet_needs_pictures_captions_and_columns(count, captions, columns):
    with pytest.raises(UserError, match="contact sheet"):
        contact_sheet([np.zeros((8, 8, 3), np.uint8)] * count, ["a"] * captions, columns)
