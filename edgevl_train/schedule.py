"""AdamW and its learning rate, as both stages use them."""

import math

import torch
from torch import nn

from edgevl_train.recipe import StageSection


def learning_rate(section: StageSection, update: int, updates: int) -> float:
    """Linear warm-up, then a half cosine from lr to min_lr, for optimiser step ``update`` of ``updates``."""
    if update < section.warmup_steps:
        return section.lr * (update + 1) / section.warmup_steps
    total = max(1, updates - section.warmup_steps)
    share = min(1.0, (update - section.warmup_steps) / total)
    return section.min_lr + (section.lr - section.min_lr) * (1 + math.cos(math.pi * share)) / 2


def make_optimiser(model: nn.Module, section: StageSection) -> torch.optim.AdamW:
    """AdamW; biases and the scales of normalisation layers do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=section.lr)
