"""A small network tells a student's tokens from its teacher's, and the student learns not to be told.

The multi-view training of arXiv 2207.05273, section 3.4: the teacher sees the plain view, the student a changed one,
here in other light, or in depth. The paper takes turns between two optimisers; here the student's gradient is reversed
(arXiv 1505.07818), which is the same game in one step. Trained beside the student, and thrown away.
"""

from torch import Tensor, nn
from torch.nn import functional

_HIDDEN = 256


def reversed_gradient(x: Tensor) -> Tensor:
    """``x``, whose gradient comes back with its sign changed."""
    return 2 * x.detach() - x


class Discriminator(nn.Module):
    """Three linear layers; above 0: "the teacher's"."""

    def __init__(self, teacher_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(teacher_width, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU()),
            nn.Linear(_HIDDEN, 1),
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Both (B, P, T) -> how badly it tells them apart: binary cross-entropy, log 2 where it cannot at all."""
        theirs, own = self.layers(teacher).float(), self.layers(reversed_gradient(student)).float()
        told = functional.softplus(-theirs).mean() + functional.softplus(own).mean()
        return told / 2
