"""What both stages learn by: nearness to the teacher's embedding, and to its answers in words."""

from collections.abc import Callable

import torch
from torch import Tensor

from edgevl_train.data.run_data import RunData
from edgevl_train.sections import ObjectiveSection
from edgevl_train.training.losses import DISTANCES, label_divergence

Objective = Callable[[Tensor, Tensor], dict[str, Tensor]]


def make_objective(data: RunData, section: ObjectiveSection, distance: str, device: torch.device) -> Objective:
    """A function of (2B, D) embeddings, RGB first, then depth of the same pairs, and (B, D) targets, L2-normalised.

    It gives ``loss_rgb`` and ``loss_depth``, the distances (EdgeVL, arXiv 2403.04908, equation 1); where their weights
    are not 0, ``loss_labels`` and ``loss_vocabulary``, the divergence of the probabilities over the label set and over
    the large vocabulary; and ``loss``, the weighted sum.

    Raises:
        ValueError: a weight for a bank without words, which would be learned by in name only.
    """
    far = DISTANCES[distance]
    banks = {"labels": (section.label_weight, data.bank), "vocabulary": (section.vocabulary_weight, data.vocabulary)}
    words = {
        f"loss_{name}": (weight, torch.from_numpy(bank).to(device)) for name, (weight, bank) in banks.items() if weight
    }
    if empty := [name for name, (_, bank) in words.items() if not len(bank)]:
        raise ValueError(f"no words for {', '.join(empty)}: prepare() has to be told that they are learned by")

    def objective(embedding: Tensor, target: Tensor) -> dict[str, Tensor]:
        rgb, depth = embedding.chunk(2)
        found = {"loss_rgb": far(rgb, target), "loss_depth": far(depth, target)}
        loss = section.distil_weight * (found["loss_rgb"] + found["loss_depth"])
        for name, (weight, bank) in words.items():
            found[name] = label_divergence(embedding, target.repeat(2, 1), bank, data.logit_scale)
            loss = loss + weight * found[name]
        return {"loss": loss} | found

    return objective
