from pathlib import Path

import numpy as np
import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.types import IMAGE, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.data.cache import build_cache, cache_key, check_recorded_once, hash_bag, open_cache
from edgevl_train.data.cache.bags import copied_from
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.views import crop, draw_views
from edgevl_train.recipe import Recipe
from edgevl_train.teacher.loading import load_teacher
from tests.core.bags import write_bag
from tests.train.conftest import of_cache

pytestmark = pytest.mark.train


def test_cache_holds_the_robots_own_inputs(sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    cache = build_cache(
        [sim_bag], tmp_path / "cache", *of_cache(tiny_recipe), lambda done, total, _: seen.append((done, total))
    )
    pairs = list(read_pairs(sim_bag))
    assert len(cache) == len(pairs) == 96
    assert seen[-1] == (96, 96)
    for row in (0, 50, 95):
        small, large = Preprocess(size_px=32), Preprocess(size_px=48)
        assert np.array_equal(cache.full_rgb[row], to_input(pairs[row].rgb, small))
        assert np.array_equal(cache.full_depth[row], to_input(pairs[row].depth_m, small))
        assert np.array_equal(cache.wide_rgb[row], to_input(pairs[row].rgb, large))
        assert np.array_equal(cache.wide_depth[row], to_input(pairs[row].depth_m, large))
        assert cache.stamp_ns[row] == pairs[row].stamp_ns
    assert cache.index["bags"][0] == {
        "name": "homes",
        "sha256": hash_bag(sim_bag),
        "pairs": 96,
        "registered": "unknown, no camera_info of depth",
        "dropped": {},
        "unreadable": [],
        "losses": [],
    }


def test_the_true_rooms_do_not_reach_the_cache(
    sim_bag: Path, bag_without_truth: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    one = build_cache([sim_bag], tmp_path / "a", *of_cache(tiny_recipe))
    other = build_cache([bag_without_truth], tmp_path / "b", *of_cache(tiny_recipe))
    assert np.array_equal(one.wide_rgb, other.wide_rgb)
    words = (tmp_path / "a" / "index.json").read_text()
    assert not any(room in words for room in ("kitchen", "bathroom", "hallway"))


def test_equal_sizes_are_stored_once(sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = tiny_recipe.model_copy(update={"cache": tiny_recipe.cache.model_copy(update={"size_px": 32})})
    cache = build_cache([sim_bag], tmp_path / "cache", *of_cache(recipe))
    assert cache.wide_rgb is cache.full_rgb
    assert not (tmp_path / "cache/wide_rgb.u8").exists()


def test_damage_is_found_in_sizes_always_and_in_content_when_asked(
    sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    build_cache([sim_bag], tmp_path / "cache", *of_cache(tiny_recipe))
    file = tmp_path / "cache/full_rgb.u8"
    content = bytearray(file.read_bytes())
    content[70_000] ^= 1
    file.write_bytes(content)
    assert len(open_cache(tmp_path / "cache")) == 96
    with pytest.raises(UserError, match=r"checksum of pairs 0 to 95 is wrong"):
        open_cache(tmp_path / "cache", verify=True)
    file.write_bytes(content[:-5])
    with pytest.raises(UserError, match=r"cache.*full_rgb\.u8"):
        open_cache(tmp_path / "cache")


def test_a_bag_that_fails_leaves_no_cache(sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        build_cache([sim_bag, tmp_path / "missing"], tmp_path / "cache", *of_cache(tiny_recipe), bag_hashes=["a", "b"])
    assert not (tmp_path / "cache").exists()


def test_embeddings_of_all_views_once(
    sim_bag: Path, teacher_directory: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    cache = build_cache([sim_bag], tmp_path / "cache", *of_cache(tiny_recipe))
    teacher = load_teacher(f"open_clip:@{teacher_directory}", batch=16)
    views = draw_views(len(cache), tiny_recipe.views, 0)
    val = np.arange(80, 96)
    whole = np.array(embed_views(teacher, cache, views, tmp_path, only_full=val))
    assert whole.shape == (3, 96, 16)
    assert np.allclose(np.linalg.norm(whole[0].astype(np.float32), axis=1), 1, atol=2e-3)
    assert (whole[1:, val] == 0).all()
    rows = np.array([3, 7])
    pixels = crop(
        torch.from_numpy(cache.wide_rgb[rows]),
        torch.from_numpy(views.boxes[2, rows]),
        torch.from_numpy(views.flips[2, rows]),
        48,
        nearest=False,
    )
    assert np.allclose(whole[2, rows], teacher.encode_pixels(pixels), atol=2e-3)

    calls: list[int] = []
    embed_views(teacher, cache, views, tmp_path, lambda done, *_: calls.append(done), only_full=val)
    assert calls == []  # nothing was computed again; how a run cut off goes on: test_embeddings.py
    other = draw_views(len(cache), tiny_recipe.views, 1)
    embed_views(teacher, cache, other, tmp_path, lambda done, *_: calls.append(done), only_full=val)
    assert calls[0] == 1


def test_other_topics_are_another_cache(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Two cameras in one bag: which one is chosen is part of the key; the images are that camera's."""
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        for camera in ("one", "two"):
            for kind in ("color", "depth"):
                writer.add_topic(f"/{camera}/{kind}/image", IMAGE)
        for number in range(4):
            at = 1_700_000_000_000_000_000 + number * 100_000_000
            for camera, value in (("one", 50), ("two", 200)):
                rgb, depth = np.full((24, 32, 3), value, np.uint8), np.full((24, 32), 10 * value, np.uint16)
                writer.write(f"/{camera}/color/image", serialize(image_msg(rgb, "rgb8", at, camera)), at)
                writer.write(f"/{camera}/depth/image", serialize(image_msg(depth, "16UC1", at, camera)), at)
    with pytest.raises(UserError, match="/one/color/image with /one/depth/image or /two/color/image"):
        build_cache([bag], tmp_path / "none", *of_cache(tiny_recipe))
    keys = {cache_key(["a"], *of_cache(tiny_recipe))}
    for camera, value in (("one", 50), ("two", 200)):
        section = tiny_recipe.cache.model_copy(update={"rgb": f"/{camera}/color/image"})
        recipe = tiny_recipe.model_copy(update={"cache": section})
        cache = build_cache([bag], tmp_path / camera, *of_cache(recipe))
        assert (len(cache), set(cache.full_rgb.flatten())) == (4, {value})
        keys.add(cache.key)
        keys.add(cache_key(["a"], *of_cache(recipe)))
    assert len(keys) == 5


def test_a_bag_without_pairs_is_told_how_far_apart_its_images_are(tiny_recipe: Recipe, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 20, depth_offset_ns=40_000_000)
    with pytest.raises(UserError, match=r"depth is always 40.0 ms later: --max-skew-s 0.05"):
        build_cache([bag], tmp_path / "cache", *of_cache(tiny_recipe))
    section = tiny_recipe.cache.model_copy(update={"max_skew_s": 0.05})
    assert (
        len(build_cache([bag], tmp_path / "cache", *of_cache(tiny_recipe.model_copy(update={"cache": section})))) == 20
    )


def test_a_write_ahead_log_is_part_of_a_bags_hash(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "bag.db3").write_bytes(b"x")
    before = hash_bag(bag)
    (bag / "bag.db3-shm").write_bytes(b"y")
    assert hash_bag(bag) == before
    by_file = hash_bag(bag / "bag.db3")
    (bag / "bag.db3-wal").write_bytes(b"z")
    assert hash_bag(bag) != before
    assert hash_bag(bag / "bag.db3") != by_file


def test_a_recording_under_other_names_is_the_same_recording(tmp_path: Path) -> None:
    """Also where one bag holds a single file of another; the same size alone says nothing."""
    for name, content in {"a/0.mcap": b"one", "a/1.mcap": b"two", "b/copy.mcap": b"two", "c/0.mcap": b"six"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert copied_from(b, [c, a]) == copied_from(b / "copy.mcap", [c, a]) == a
    assert copied_from(c, [a, b]) is None
    check_recorded_once([a, c])
    with pytest.raises(UserError, match=f"bags {a} and {b} hold the same recording: give it once"):
        check_recorded_once([a, c, b])
