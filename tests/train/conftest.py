"""A made-up cache: eight kinds of picture whose kind shows in RGB and, otherwise, in depth. No bag, no teacher."""

import numpy as np
import pytest
import torch

from edgevl_train.cache import Cache
from edgevl_train.data import RunData
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.views import draw_views

KINDS, DIM = 8, 16


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def tiny_recipe() -> Recipe:
    return parse_recipe(
        {
            "student": {"name": "test_resnet", "size_px": 32, "backbone": {"output_stride": 16}},
            "cache": {"size_px": 48},
            "views": {"count": 3, "flip": False},
            "stage1": {"epochs": 2, "batch": 32, "lr": 4e-3},
            "stage2": {"epochs": 1, "batch": 32, "lr": 1e-4, "calibration_pairs": 64},
        },
        origin="test",
    )


def make_run_data(recipe: Recipe, pairs: int = 320) -> RunData:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, KINDS, pairs)
    patterns = rng.integers(0, 255, (2, KINDS, 4, 4, 3))

    def images(modality: int, side: int) -> np.ndarray:
        clean = patterns[modality][kind].repeat(side // 4, 1).repeat(side // 4, 2)
        return (clean + rng.normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)

    small, large = recipe.student.size_px, recipe.cache.size_px
    arrays = [images(modality, side) for side in (small, large) for modality in (0, 1)]
    stamps = np.arange(pairs, dtype=np.int64) * 500_000_000
    cache = Cache(*arrays, stamps, np.zeros(pairs, np.int64), {"key": "made up"})
    bank = np.linalg.qr(rng.normal(size=(DIM, KINDS)))[0].T.astype(np.float32)
    targets = np.broadcast_to(bank[kind], (recipe.views.count, pairs, DIM)).astype(np.float16)
    views = draw_views(pairs, recipe.views, recipe.seed)
    rows = np.arange(pairs)
    held = pairs // 5
    return RunData(cache, views, targets, rows[:-held], rows[-held:], kind, bank, 20.0)


@pytest.fixture
def run_data(tiny_recipe: Recipe) -> RunData:
    return make_run_data(tiny_recipe)
