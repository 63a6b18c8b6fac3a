"""Stage 2: quantisation-aware contrastive learning (EdgeVL, arXiv 2403.04908, section 3.3).

What differs from the paper: triplets are mined among all images of the global batch (the paper: among a bank
that is embedded anew in every epoch), in the same normalised space in which the loss lives (the released code:
in another); they may cross the modalities where the recipe says so.
"""

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_train.data.batches import Batch
from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.objectives.combined import make_objective
from edgevl_train.objectives.triplets import mine_semi_hard, pairwise_distance, triplet_loss
from edgevl_train.quantise import QuantStudent, calibrate, fake_quantise, fuse, keep_sums, scheme_of
from edgevl_train.recipe import Recipe
from edgevl_train.stage_sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import train_stage
from edgevl_train.training.loop import Best


def quantised_copy(student: Student, data: RunData, section: Stage2Section) -> QuantStudent:
    """BatchNorm folded, fake-quantised, ranges set from whole frames of TRAINING pairs, sums of depthwise filters kept.

    The student stays as it is.
    """
    quantised = fake_quantise(fuse(student), scheme_of(section))
    pixels = calibration_pixels(data, section.calibration_pairs)
    device = next(student.parameters()).device
    calibrate(quantised, (part.to(device) for part in pixels.split(64)))
    return keep_sums(quantised)


def gather_pairs(embedding: Tensor, label: Tensor, fabric: Fabric) -> tuple[Tensor, Tensor]:
    """The global batch of all processes, in the order that one process would have it.

    Gradients flow back to each process's own part, summed over the processes, which the averaging of the
    weights' gradients undoes: the step is that of one process.

    Args:
        embedding: (2b, D), RGB first, then depth of the same pairs; label: (b,) int64.

    Returns:
        (2B, D), RGB of all processes first, then depth; and (B,) int64; B = b times the processes.
    """
    pairs, dim = len(label), embedding.shape[1]
    everywhere = torch.as_tensor(fabric.all_gather(embedding, sync_grads=True)).view(-1, 2, pairs, dim)
    return everywhere.transpose(0, 1).reshape(-1, dim), torch.as_tensor(fabric.all_gather(label)).view(-1)


def contrast(quantised: QuantStudent, data: RunData, recipe: Recipe, context: RunContext) -> Best:
    """Train ``quantised`` in place; it ends with the best epoch's weights, epoch 0 (calibrated only) included."""
    section, fabric = recipe.stage2, context.fabric
    objective = make_objective(data, section, recipe.stage1.loss, fabric.device)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        own = model(batch.pixels)
        found = objective(own, batch.target)
        embedding, label = gather_pairs(own, batch.pseudo_label, fabric)
        distances = pairwise_distance(embedding)
        modality = torch.arange(2, device=embedding.device).repeat_interleave(len(label))
        group = None if section.cross_modal else modality
        triplets = mine_semi_hard(distances, label.repeat(2), section.margin, section.negatives, group)
        triplet = triplet_loss(distances, triplets, section.margin)
        return found | {
            "loss": found["loss"] + section.triplet_weight * triplet,
            "loss_triplet": triplet,
            "triplets": torch.tensor(float(len(triplets.anchor)), device=own.device),
        }

    return train_stage(2, quantised, loss, data, recipe, context, score_start=True)
