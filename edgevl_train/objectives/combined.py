"""What both stages learn by: nearness to the teacher's embedding, to its answers in words, and to its relations."""

from collections.abc import Callable

import torch
from torch import Tensor

from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.contrast import interactive_contrast
from edgevl_train.objectives.feature import DISTANCES
from edgevl_train.objectives.relational import relational_distance
from edgevl_train.objectives.soft_labels import label_divergence
from edgevl_train.stage_sections import ObjectiveSection

Objective = Callable[[Tensor, Tensor], dict[str, Tensor]]


def make_objective(data: RunData, section: ObjectiveSection, distance: str, device: torch.device) -> Objective:
    """A function of (2B, D) embeddings, RGB first, then depth of the same pairs, and (B, D) targets, L2-normalised.

    It gives ``loss_rgb`` and ``loss_depth``, the distances (EdgeVL, arXiv 2403.04908, equation 1); of ``loss_labels``
    and ``loss_vocabulary``, the divergence of the probabilities over the label set and over the large vocabulary,
    ``loss_relations`` and ``loss_contrast`` those whose weight is not 0; and ``loss``, the weighted sum.

    Relations and contrast are those of this process's share of a batch. Contrast keeps the modalities apart, for a
    pair's other half is no other pair.

    Raises:
        ValueError: a weight for a bank without words, which would be learned by in name only.
    """
    far, scale = DISTANCES[distance], data.logit_scale
    banks = {"labels": (section.label_weight, data.bank), "vocabulary": (section.vocabulary_weight, data.vocabulary)}
    words = {name: (weight, words_of(name, bank, device)) for name, (weight, bank) in banks.items() if weight}

    def objective(embedding: Tensor, target: Tensor) -> dict[str, Tensor]:
        rgb, depth = embedding.chunk(2)
        found = {"loss_rgb": far(rgb, target), "loss_depth": far(depth, target)}
        loss = section.distil_weight * (found["loss_rgb"] + found["loss_depth"])
        both = target.repeat(2, 1)
        for name, (weight, bank) in words.items():
            found[f"loss_{name}"] = label_divergence(embedding, both, bank, scale)
            loss = loss + weight * found[f"loss_{name}"]
        if section.relation_weight:
            found["loss_relations"] = relational_distance(embedding, both)
            loss = loss + section.relation_weight * found["loss_relations"]
        if section.contrast_weight:
            of_rgb, of_depth = (interactive_contrast(half, target, scale) for half in (rgb, depth))
            found["loss_contrast"] = (of_rgb + of_depth) / 2
            loss = loss + section.contrast_weight * found["loss_contrast"]
        return {"loss": loss} | found

    return objective


def words_of(name: str, bank: object, device: torch.device) -> Tensor:
    """(C, D) float32 text vectors of a bank on ``device``.

    Raises:
        ValueError: there are none.
    """
    vectors = torch.as_tensor(bank, dtype=torch.float32, device=device)
    if not len(vectors):
        raise ValueError(f"no words for loss_{name}: prepare() has to be told that they are learned by")
    return vectors
