"""The teacher's tokens: of any tower, computed once, and its embeddings stay what they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.run_data import RunData
from edgevl_train.data.tokens import embed_tokens
from edgevl_train.teacher.loading import load_teacher
from edgevl_train.teacher.model import Teacher
from edgevl_train.teacher.tokens import GRID, encode_tokens, token_width

pytestmark = pytest.mark.train
TEXT = {"context_length": 8, "vocab_size": 99, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "layers": 2, "width": 24, "head_width": 12, "patch_size": 4}


@pytest.fixture
def teacher(teacher_directory: Path) -> Teacher:
    return load_teacher(f"open_clip:@{teacher_directory}")


def test_each_cell_is_the_mean_of_its_neighbourhood_of_the_last_map(teacher: Teacher) -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    found = encode_tokens(teacher, pixels).view(3, GRID**2, -1)
    assert found.shape[1] * found.shape[2] == token_width(teacher)
    torch.testing.assert_close(found.mean(-1), torch.zeros(3, GRID**2), atol=1e-4, rtol=0)
    map_ = teacher.model.visual.trunk.forward_features(teacher.normalised(pixels)).detach()
    side = map_.shape[-1] // GRID or 1
    if map_.shape[-1] >= GRID:
        cell = map_[:, :, :side, :side].mean((2, 3))
        torch.testing.assert_close(found[:, 0], torch.nn.functional.layer_norm(cell, cell.shape[-1:]))


def test_a_transformers_patches_are_tokens_too(teacher: Teacher) -> None:
    model = open_clip.CLIP(embed_dim=16, vision_cfg=VIT, text_cfg=TEXT).eval()
    vit = replace(teacher, model=model, size_px=32)
    assert token_width(vit) == GRID**2 * VIT["width"]


def test_a_tower_without_maps_is_named(teacher: Teacher) -> None:
    class Flat(torch.nn.Module):
        logit_scale, visual = torch.ones(()), torch.nn.Flatten()

    with pytest.raises(UserError, match=r"gives no tokens .*: set both to 0"):
        token_width(replace(teacher, model=Flat()))


def test_they_are_computed_once_beside_the_embeddings(run_data: RunData, teacher: Teacher, tmp_path: Path) -> None:
    args = (run_data.cache, run_data.views, tmp_path)
    embeddings = np.array(embed_views(teacher, *args, only_full=run_data.val))
    told: list[int] = []
    tokens = embed_tokens(teacher, *args, lambda done, total, message: told.append(done), only_full=run_data.val)
    assert tokens.shape == (*embeddings.shape[:2], token_width(teacher))
    assert told
    again: list[int] = []
    embed_tokens(teacher, *args, lambda done, total, message: again.append(done), only_full=run_data.val)
    assert not again
    assert np.array_equal(embed_views(teacher, *args, only_full=run_data.val), embeddings)
    row = int(run_data.train[0])
    pixels = torch.from_numpy(run_data.cache.wide_rgb[[row]]).permute(0, 3, 1, 2)
    np.testing.assert_allclose(tokens[0, row], encode_tokens(teacher, pixels).numpy()[0], atol=5e-3)
