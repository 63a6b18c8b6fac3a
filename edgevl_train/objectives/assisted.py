"""A student with what is trained beside it in stage 1: exits, projectors, a discriminator. Only the student is kept."""

import torch
from torch import Tensor, nn

from edgevl_core.base.errors import UserError
from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.combined import words_of
from edgevl_train.objectives.cross_architecture import GroupLinear, PartialCrossAttention
from edgevl_train.objectives.discriminator import Discriminator
from edgevl_train.objectives.exits import Exits, exit_loss, mean_exit_loss
from edgevl_train.recipe import Recipe
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.student.network import Student
from edgevl_train.teacher.tokens import GRID


class Assisted(nn.Module):
    """``student`` and its helpers as one network: one optimiser trains both, one checkpoint resumes both."""

    def __init__(self, student: Student, data: RunData, section: Stage1Section, widths: list[int]) -> None:
        super().__init__()
        self.student, self.section, self.scale = student, section, data.logit_scale
        helpers: dict[str, nn.Module] = {}
        if section.exit_weight:
            helpers["exits"] = Exits(widths, student.embed_dim)
            bank = data.vocabulary if section.exit_words == "vocabulary" else data.bank
            self.register_buffer("bank", words_of("exit", bank, torch.device("cpu")), persistent=False)
        if section.learns_tokens:
            teacher_width = data.tokens.shape[-1] // GRID**2
            if section.pca_weight:
                helpers["pca"] = PartialCrossAttention(widths[-1], teacher_width)
            if section.gl_weight:
                helpers["gl"] = GroupLinear(widths[-1], teacher_width)
            if section.adversary_weight:
                helpers["adversary"] = Discriminator(teacher_width)
        self.helpers = nn.ModuleDict(helpers)

    def forward(self, pixels: Tensor, with_maps: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The student's embedding (2B, D); with maps those of its stages as well."""
        return self.student.forward_maps(pixels) if with_maps else self.student.forward(pixels)

    def losses(self, embedding: Tensor, maps: list[Tensor], target: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """The helpers' losses of what :meth:`forward` gave, targets (B, D) and tokens (B, P * T).

        Not in ``forward``: mixed precision would round targets and logits to 8 bits there.
        """
        found: dict[str, Tensor] = {}
        if "exits" in self.helpers:
            answers = (target.repeat(2, 1), self.get_buffer("bank"), self.scale, self.section.exit_gamma)
            ends = exit_loss(embedding, *answers)  # the student's own end is an exit, too
            found["loss_exit"] = ends + mean_exit_loss(self.helpers["exits"](maps), *answers)
        if self.section.learns_tokens:
            wanted = tokens.view(len(tokens), GRID**2, -1).repeat(2, 1, 1)
            if "pca" in self.helpers:
                found["loss_pca"] = self.helpers["pca"](maps[-1], wanted)
            if "gl" in self.helpers:
                made = self.helpers["gl"](maps[-1])
                found["loss_gl"] = nn.functional.mse_loss(made, wanted)
                if "adversary" in self.helpers:
                    found["loss_adversary"] = self.helpers["adversary"](made, wanted)
        return found


def assisted(student: Student, data: RunData, recipe: Recipe) -> Student | Assisted:
    """The student alone, where the recipe trains nothing beside it; else with helpers of random weights, by its seed.

    Raises:
        UserError: the student has no maps to help by.
    """
    section = recipe.stage1
    if not section.helped:
        return student
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(recipe.seed)
        return Assisted(student, data, section, _widths(student, recipe.student.size_px))


def kept(network: nn.Module) -> nn.Module:
    """What of a network in training goes to the robot: the student of :class:`Assisted`, else all of it."""
    return network.student if isinstance(network, Assisted) else network


@torch.no_grad()
def _widths(student: Student, size_px: int) -> list[int]:
    """Channels of each stage's map."""
    training = student.training
    parameter = next(student.parameters())
    try:
        _, maps = student.eval().forward_maps(torch.zeros(1, 3, size_px, size_px, device=parameter.device))
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise UserError(
            f"student {student.name!r} gives no maps of its stages ({error}), which exit_weight, pca_weight and "
            "gl_weight learn by: set these to 0, or take a timm backbone that has forward_intermediates"
        ) from error
    finally:
        student.train(training)
    return [each.shape[1] for each in maps]
