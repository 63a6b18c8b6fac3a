"""Stage 2: quantisation-aware contrastive learning (EdgeVL, arXiv 2403.04908, section 3.3).

What differs from the paper: triplets are mined in the batch, in the same normalised space in which the loss
    lives; they
may cross the modalities; and the distillation term stays on.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_train.data import Batch, RunData, calibration_pixels, make_batches, validator
from edgevl_train.distil import distillation_loss
from edgevl_train.loop import Best, Stage, fit
from edgevl_train.losses import DISTANCES, mine_semi_hard, pairwise_distance, triplet_loss
from edgevl_train.quantise import QuantStudent, calibrate, fake_quantise, fuse
from edgevl_train.recipe import Recipe
from edgevl_train.student import Student


def quantised_copy(student: Student, data: RunData, recipe: Recipe) -> QuantStudent:
    """BatchNorm folded, fake-quantised, ranges set from whole frames of TRAINING pairs; the student stays as it is."""
    quantised = fake_quantise(fuse(student))
    pixels = calibration_pixels(data, recipe, recipe.stage2.calibration_pairs)
    calibrate(quantised, pixels.split(64))
    return quantised


def contrast(
    quantised: QuantStudent,
    data: RunData,
    recipe: Recipe,
    fabric: Fabric,
    directory: Path,
    fingerprint: str,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
) -> Best:
    """Train ``quantised`` in place; it ends with the best epoch's weights, epoch 0 (calibrated only) included."""
    section = recipe.stage2
    distance = DISTANCES[recipe.stage1.loss]
    batches, steps = make_batches(data, recipe, section.batch, 2, fabric.device)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        embedding = model(batch.pixels)
        rgb, depth = distillation_loss(embedding, batch.target, distance)
        distances = pairwise_distance(embedding)
        modality = torch.arange(2, device=embedding.device).repeat_interleave(len(batch.target))
        group = None if section.cross_modal else modality
        triplets = mine_semi_hard(distances, batch.pseudo_label.repeat(2), section.margin, section.negatives, group)
        triplet = triplet_loss(distances, triplets, section.margin)
        total = section.triplet_weight * triplet + section.distil_weight * (rgb + depth)
        count = torch.tensor(float(len(triplets.anchor)))
        return {
            "loss": total,
            "loss_rgb": rgb,
            "loss_depth": depth,
            "loss_triplet": triplet,
            "triplets": count,
        }

    stage = Stage(
        name="stage2",
        epochs=section.epochs,
        steps_per_epoch=steps,
        lr=section.lr,
        min_lr=section.min_lr,
        weight_decay=section.weight_decay,
        clip_norm=section.clip_norm,
        batches=batches,
        loss=loss,
        validate=validator(data, fabric.device),
        fingerprint=fingerprint,
        score_start=True,
    )
    best = fit(quantised, stage, fabric, directory, on_progress, seed=recipe.seed)
    quantised.load_state_dict(best.state)
    return best
