"""Pictures for people."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.draw.lettering import FontFile, Strokes, ascii_text
from edgevl_core.draw.overlay import (
    KNOWN,
    LONGEST_SIDE_PX,
    TRACK,
    UNKNOWN,
    contact_sheet,
    depth_picture,
    draw_scene,
    viewable,
)

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


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((480, 640), (480, 640)), ((1920, 1080), (1920, 1080)), ((3648, 5472), (1280, 1920)), ((1, 9999), (1, 1920))],
)
def test_a_very_large_picture_is_shrunk_before_it_is_drawn_into(shape, shown):
    rgb = np.full((*shape, 3), 77, np.uint8)
    small = viewable(rgb)
    assert small.shape == (*shown, 3)
    assert (small is rgb) == (max(shape) <= LONGEST_SIDE_PX)
    assert (small == 77).all()


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


@pytest.fixture(scope="module")
def font() -> FontFile:
    """Any font file that has Greek and Cyrillic."""
    matplotlib = pytest.importorskip("matplotlib")
    return FontFile(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def test_a_font_draws_other_letters_and_strokes_do_not(font):
    rgb = np.zeros((240, 320, 3), np.uint8)

    def drawn(label, lettering):
        return draw_scene(rgb, _scene(label=label, labels=[label], scores=[0.5]), lettering)

    assert (drawn("кухня", Strokes()) == drawn("ванна", Strokes())).all()
    assert not (drawn("кухня", font) == drawn("ванна", font)).all()
    assert _has(drawn("κουζίνα", font), KNOWN)
    assert font.width("a", 0.5) < font.width("aa", 0.5) < font.width("aa", 1.0)


def test_letters_of_a_font_end_at_the_pictures_edge(font):
    picture = np.zeros((20, 30, 3), np.uint8)
    font.draw(picture, "кухня", (-10, 12), 1.0, (255, 255, 255))
    assert picture[:, 0].any()
    before = picture.copy()
    font.draw(picture, "", (5, 12), 1.0, (255, 255, 255))
    font.draw(picture, "x", (200, 200), 1.0, (255, 255, 255))
    assert (picture == before).all()


def test_what_is_no_font_is_refused(tmp_path):
    (tmp_path / "text.ttf").write_text("no font")
    for path in (tmp_path / "text.ttf", tmp_path / "missing.ttf"):
        with pytest.raises(UserError, match=r"cannot be read .* give a \.ttf"):
            FontFile(path)


def test_a_missing_pillow_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match="needs Pillow"):
        FontFile("any.ttf")


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


def test_depth_is_warm_where_it_is_near_and_black_where_nothing_was_measured():
    picture = depth_picture(np.array([[0.5, 4.5, 5.0, 80.0, np.nan]], np.float32))
    (near, far, limit, beyond, hole) = picture[0].astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert (limit == beyond).all()
    assert not hole.any()
    assert near.any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (1, 5000), (5000, 1), (20, 20)])
def test_a_picture_of_a_few_pixels_is_drawn_as_far_as_there_is_room(shape):
    rgb = np.zeros((*shape, 3), np.uint8)
    assert draw_scene(rgb, _scene()).shape == rgb.shape


def test_what_is_no_number_is_an_empty_bar():
    rgb = np.zeros((240, 320, 3), np.uint8)
    none, nan = (
        draw_scene(rgb, _scene(scores=[0.9, value, 0.0, 0.0], confidence=value)) for value in (0.0, float("nan"))
    )
    np.testing.assert_array_equal(none, nan)
