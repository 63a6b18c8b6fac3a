"""What both stages learn by."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.combined import make_objective
from edgevl_train.objectives.contrast import interactive_contrast
from edgevl_train.objectives.relational import relational_distance
from edgevl_train.objectives.soft_labels import label_divergence
from edgevl_train.stage_sections import Stage1Section

pytestmark = pytest.mark.unit


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_objective_adds_what_is_weighted(run_data: RunData) -> None:
    target = torch.from_numpy(run_data.targets[0, :6].astype("float32"))
    embedding = functional.normalize(target.repeat(2, 1) + 0.3 * unit(12, target.shape[1], seed=2), dim=-1)
    words = dataclasses.replace(run_data, vocabulary=unit(40, target.shape[1], seed=3).numpy())
    plain = make_objective(words, Stage1Section(), "cosine", torch.device("cpu"))(embedding, target)
    assert set(plain) == {"loss", "loss_rgb", "loss_depth"}
    weights = {"distil_weight": 0.5, "label_weight": 0.2, "vocabulary_weight": 0.1}
    section = Stage1Section(**weights, relation_weight=3.0, contrast_weight=0.4)
    found = make_objective(words, section, "cosine", torch.device("cpu"))(embedding, target)
    for name, bank in (("labels", words.bank), ("vocabulary", words.vocabulary)):
        wanted = label_divergence(embedding, target.repeat(2, 1), torch.from_numpy(bank), words.logit_scale)
        assert found[f"loss_{name}"].item() == pytest.approx(wanted.item())
    both = target.repeat(2, 1)
    assert found["loss_relations"].item() == pytest.approx(relational_distance(embedding, both).item())
    contrast = [interactive_contrast(half, target, words.logit_scale).item() for half in embedding.chunk(2)]
    assert found["loss_contrast"].item() == pytest.approx(sum(contrast) / 2)
    total = (
        0.5 * (found["loss_rgb"] + found["loss_depth"])
        + 0.2 * found["loss_labels"]
        + 0.1 * found["loss_vocabulary"]
        + 3.0 * found["loss_relations"]
        + 0.4 * found["loss_contrast"]
    )
    assert found["loss"].item() == pytest.approx(total.item())
    nothing = dataclasses.replace(words, vocabulary=words.bank[:0])
    with pytest.raises(ValueError, match="no words for loss_vocabulary"):
        make_objective(nothing, section, "cosine", torch.device("cpu"))
    with pytest.raises(ValueError, match="all 0"):
        Stage1Section(distil_weight=0)
