"""The teacher: a frozen open_clip model, run on numpy batches.

It sees one view of an image wherever it is asked, for targets, curation, evaluation and comparison: the whole frame,
squashed to a square as the student's is, whatever the model's own transform would cut off. On simulated homes that was
the better view (top-1 0.940 against 0.923 with CLIP's centre crop, the same answer on 0.942 of 796 frames), on 550 real
ones as good (0.615 against 0.616, standard error 0.020; docs/results.md).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess, to_input

VIEW = Preprocess(size_px=256)  # where no training cache says otherwise: its usual size


class ClipModel(Protocol):
    """What is used of an open_clip model; open_clip says no types."""

    logit_scale: Tensor
    visual: Any  # the image tower: ``preprocess_cfg``, parameters, and ``trunk``, ``head`` where timm made it

    def encode_image(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) float32, normalised -> (N, D)."""

    def encode_text(self, text: Tensor) -> Tensor:
        """(N, T) int64 tokens -> (N, D)."""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Those of both towers."""


@dataclass(frozen=True)
class Teacher:
    """A frozen CLIP. Made by :func:`edgevl_train.teacher.loading.load_teacher`.

    Attributes:
        id: name without a machine's path; two teachers with the same id, ``weights_sha256`` and ``config_sha256`` are
            the same.
        embed_dim: D.
        logit_scale: factor of the cosine before the softmax (CLIP's is about 100).
        weights_sha256: hex digest of the checkpoint file.
        size_px: side of the teacher's own input.
        config_sha256: hex digest of its architecture where a config.json says it; "" where ``id`` does.
    """

    id: str
    embed_dim: int
    logit_scale: float
    weights_sha256: str
    size_px: int
    model: ClipModel = field(repr=False)
    tokenizer: Callable[[list[str]], Tensor] = field(repr=False)
    preprocess: dict[str, Any] = field(repr=False)
    batch: int = 64
    precision: str = "32-true"
    config_sha256: str = ""

    @property
    def device(self) -> torch.device:
        """Where its towers are."""
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def name(self) -> str:
        """``id`` and the beginning of ``weights_sha256``, as bundles name it."""
        return f"{self.id} {self.weights_sha256[:12]}"

    def encode_image(
        self, images: "NDArray[np.uint8] | Sequence[NDArray[np.uint8]]", view: Preprocess = VIEW
    ) -> NDArray[np.float32]:
        """Embeddings of RGB images.

        Args:
            images: (N, H, W, 3) uint8, or a sequence of (H, W, 3) uint8 of any sizes.
            view: how each is squashed to a square, and turned, first: as a training cache does it.

        Returns:
            (N, D) float32, L2-normalised.

        Raises:
            UserError: an image of another shape or type.
        """
        parts = []
        for start in range(0, len(images), self.batch):
            views = [_view(image, view) for image in images[start : start + self.batch]]
            parts.append(self.encode_squares(np.stack(views)))
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 or float 0..255, whole squashed views -> (N, D) float32, L2-normalised, on the CPU."""
        x = self.normalised(pixels)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            features = self.model.encode_image(x)
        return functional.normalize(features.float(), dim=-1).cpu()

    def normalised(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 or float 0..255 -> (N, 3, S, S) float32, what its image tower takes, on its device."""
        x = resize(pixels.to(self.device).float(), self.size_px, self.preprocess["interpolation"])
        mean = torch.tensor(self.preprocess["mean"], device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(self.preprocess["std"], device=self.device).view(1, 3, 1, 1)
        return ((x / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def encode_squares(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, C, C, 3) uint8, whole squashed views, N >= 1 -> (N, D) float32, L2-normalised."""
        starts = range(0, len(images), self.batch)
        pixels = (torch.from_numpy(images[start : start + self.batch]).permute(0, 3, 1, 2) for start in starts)
        return np.concatenate([self.encode_pixels(part).numpy() for part in pixels])

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, L2-normalised embeddings of ``texts``, as they are (no template is put around them)."""
        parts = []
        for start in range(0, len(texts), 256):
            tokens = self.tokenizer(list(texts[start : start + 256])).to(self.device)
            parts.append(functional.normalize(self.model.encode_text(tokens).float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)


def enlarged_views(teacher: Teacher, cache_px: int) -> list[str]:
    """A warning where a training cache of this side holds less than the teacher looks at; else nothing."""
    if teacher.size_px <= cache_px:
        return []
    disk = (teacher.size_px / cache_px) ** 2
    return [
        f"teacher {teacher.id} looks at {teacher.size_px} px and the training cache holds {cache_px} px, so it sees "
        f"enlarged images: --set cache.size_px={teacher.size_px} gives it its own size, for {disk:.1f} times the disk"
    ]


def own_view(teacher: Teacher) -> Preprocess:
    """The squashed frame for a teacher alone, of whom no training cache says how much it saw: never enlarged."""
    return Preprocess(size_px=max(VIEW.size_px, teacher.size_px))


def _view(image: NDArray[np.uint8], view: Preprocess) -> NDArray[np.uint8]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"teacher image of shape {image.shape} and type {image.dtype}: (H, W, 3) uint8 is needed")
    return to_input(image, view)


def resize(images: Tensor, size: int | tuple[int, int], interpolation: str) -> Tensor:
    """Antialiased resize of (N, 3, H, W) float 0..255, clamped back to 0..255 (bicubic overshoots)."""
    size = (size, size) if isinstance(size, int) else size
    if images.shape[-2:] == size:
        return images
    x = functional.interpolate(images, size, mode=interpolation, antialias=True, align_corners=False)
    return x.clamp(0, 255)


TEACHER_KEY = "teacher_key"  # where a bundle's manifest notes it, among its metrics


def teacher_key(teacher: Teacher) -> str:
    """Hex digest of what decides the teacher's embeddings."""
    parts = (
        teacher.id,
        teacher.weights_sha256,
        teacher.precision,
        json.dumps(teacher.preprocess, sort_keys=True, default=list),
        *([teacher.config_sha256] if teacher.config_sha256 else []),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def as_noted_by_earlier(teacher: Teacher) -> list[Teacher]:
    """The forms in which a finished run may know this teacher, for :func:`teacher_key` of each.

    It may have run in the other precision, which moves an embedding by rounding only. A run of an earlier version did
    not note a config.json: it is taken at its word, since it cannot be told from the same teacher.
    """
    precisions, configs = ("32-true", "bf16-mixed"), (teacher.config_sha256, "")
    return [replace(teacher, precision=precision, config_sha256=sha) for precision in precisions for sha in configs]
