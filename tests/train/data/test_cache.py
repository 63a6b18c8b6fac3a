from pathlib import Path

import numpy as np
import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_train.data.cache import build_cache, hash_bag, open_cache
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.views import crop, draw_views
from edgevl_train.recipe import Recipe
from edgevl_train.teacher.loading import load_teacher

pytestmark = pytest.mark.train


def test_cache_holds_the_robots_own_inputs(sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    cache = build_cache([sim_bag], tmp_path / "cache", tiny_recipe, lambda done, total, _: seen.append((done, total)))
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
    one = build_cache([sim_bag], tmp_path / "a", tiny_recipe)
    other = build_cache([bag_without_truth], tmp_path / "b", tiny_recipe)
    assert np.array_equal(one.wide_rgb, other.wide_rgb)
    words = (tmp_path / "a" / "index.json").read_text()
    assert not any(room in words for room in ("kitchen", "bathroom", "hallway"))


def test_equal_sizes_are_stored_once(sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = tiny_recipe.model_copy(update={"cache": tiny_recipe.cache.model_copy(update={"size_px": 32})})
    cache = build_cache([sim_bag], tmp_path / "cache", recipe)
    assert cache.wide_rgb is cache.full_rgb
    assert not (tmp_path / "cache/wide_rgb.u8").exists()


def test_damage_is_found_in_sizes_always_and_in_content_when_asked(
    sim_bag: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    build_cache([sim_bag], tmp_path / "cache", tiny_recipe)
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
        build_cache([sim_bag, tmp_path / "missing"], tmp_path / "cache", tiny_recipe, bag_hashes=["a", "b"])
    assert not (tmp_path / "cache").exists()


def test_embeddings_of_all_views_once(
    sim_bag: Path, teacher_directory: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    cache = build_cache([sim_bag], tmp_path / "cache", tiny_recipe)
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
