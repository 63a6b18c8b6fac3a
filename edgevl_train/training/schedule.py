"""AdamW and its learning rate, as both stages use them."""

import math

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from edgevl_train.stage_sections import StageSection
from edgevl_train.student.undecayed import undecayed


def learning_rate(section: StageSection, update: int, updates: int) -> float:
    """Linear warm-up, then a half cosine from lr to min_lr, for optimiser step ``update`` of ``updates``."""
    if update < section.warmup_steps:
        return section.lr * (update + 1) / section.warmup_steps
    total = max(1, updates - section.warmup_steps)
    share = min(1.0, (update - section.warmup_steps) / total)
    return section.min_lr + (section.lr - section.min_lr) * (1 + math.cos(math.pi * share)) / 2


def make_optimiser(model: nn.Module, section: StageSection) -> torch.optim.AdamW:
    """AdamW; biases, the scales of normalisation layers and what ``undecayed`` names do not decay."""
    groups = param_groups_weight_decay(model, section.weight_decay, no_weight_decay_list=undecayed(model))
    return torch.optim.AdamW(groups[::-1], lr=section.lr)  # what decays comes first
