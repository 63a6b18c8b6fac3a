"""Trains a small open_clip model on captioned images: contrastive, with images of one caption as positives."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.labels import fill_template
from edgevl_train.augment import jitter_colour, random_boxes
from edgevl_train.losses import multi_positive_infonce
from edgevl_train.precision import resolve_precision
from edgevl_train.views import crop

TEXT_SCALE = 5.0  # low, so that captions are pushed apart all the way, not only until they can be told apart
TEMPLATES = (
    "{}",
    "a photo of {a} {}",
    "a photo of the {}",
    "a picture of {a} {}",
    "a robot's view of the {}",
    "this is {a} {}",
    "the inside of {a} {}",
    "{a} {} in a home",
)


def _default_model() -> dict[str, Any]:
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 96,
            "timm_model_name": "test_resnet",
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }


@dataclass(frozen=True)
class Pretraining:
    """Settings of :func:`train`; ``model`` is an open_clip model config.

    The default image tower is timm's smallest ResNet: larger ones know less after the same minute on a CPU.
    """

    model: dict[str, Any] = field(default_factory=_default_model)
    epochs: int = 12
    batch: int = 48
    lr: float = 4e-3
    weight_decay: float = 0.05
    warmup_steps: int = 30
    text_steps: int = 100
    text_lr_share: float = 0.02
    val_share: float = 0.1
    min_scale: float = 0.6
    max_aspect: float = 1.333
    precision: str = "auto"

    @property
    def bf16(self) -> bool:
        """Whether the towers run in bfloat16 on this machine."""
        return resolve_precision(self.precision, "cpu") == "bf16-mixed"

    @property
    def size_px(self) -> int:
        """Side of the model's input."""
        return int(self.model["vision_cfg"]["image_size"])


@dataclass(frozen=True)
class Captioned:
    """RGB frames that name a room: (N, C, C, 3) uint8, (N,) row of ``rooms``, (N,) row of ``homes``."""

    rgb: NDArray[np.uint8]
    room: NDArray[np.int64]
    home: NDArray[np.int64]
    rooms: list[str]
    homes: list[str]
    skipped: int


def train(
    data: Captioned,
    settings: Pretraining,
    seed: int,
    on_progress: Callable[[int, int, str], None] = lambda *_: None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """The model of the epoch with the best zero-shot top-1 on validation homes, and every epoch's figures."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    is_val = np.isin(data.home, _validation_homes(len(data.homes), settings.val_share, seed))
    train_rows, val_rows = np.flatnonzero(~is_val), np.flatnonzero(is_val)
    model = _build(settings.model).to(memory_format=torch.channels_last)
    tokens = _tokens(data.rooms, settings.model["text_cfg"]["context_length"])
    separate_captions(model, tokens, settings, generator)
    optimiser = torch.optim.AdamW(_groups(model, settings), lr=settings.lr)
    batch = min(settings.batch, len(train_rows))
    steps = len(train_rows) // batch
    history: list[dict[str, float]] = []
    best_state: dict[str, Tensor] = {}
    for epoch in range(settings.epochs):
        model.train()
        order = train_rows[torch.randperm(len(train_rows), generator=generator).numpy()]
        losses = []
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            rate = _rate(settings, epoch * steps + step, settings.epochs * steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
            losses.append(_step(model, optimiser, data, rows, tokens, settings, generator))
            total = settings.epochs * steps
            on_progress(epoch * steps + step + 1, total, f"epoch {epoch + 1}/{settings.epochs}, loss {losses[-1]:.3f}")
        top1 = zero_shot_top1(model, data, val_rows, tokens, settings)
        if not history or top1 > max(line["val_top1"] for line in history):
            best_state = copy.deepcopy(model.state_dict())
        history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "val_top1": top1})
    model.load_state_dict(best_state)
    return model.eval(), history


def separate_captions(model: Any, tokens: Tensor, settings: Pretraining, generator: torch.Generator) -> None:
    """Teach the text tower alone that captions of one room belong together, whatever the template.

    A fresh text tower puts all captions on nearly the same spot, and the image tower then has nothing to aim
        at: on
    simulated homes this second of training saved half of the epochs.

    Args:
        tokens: (T, R, L) int64: T templates filled with R rooms.
    """
    optimiser = torch.optim.AdamW(_text_parameters(model), lr=1e-3)
    rooms = torch.arange(tokens.shape[1])
    for _ in range(settings.text_steps):
        first, second = torch.randperm(tokens.shape[0], generator=generator)[:2].tolist()
        a, b = (functional.normalize(model.encode_text(tokens[i]), dim=-1) for i in (first, second))
        loss = functional.cross_entropy(a @ b.T * TEXT_SCALE, rooms)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def _step(
    model: Any,
    optimiser: torch.optim.Optimizer,
    data: Captioned,
    rows: NDArray[np.int64],
    tokens: Tensor,
    settings: Pretraining,
    generator: torch.Generator,
) -> float:
    """One step. A batch uses one template, so that two captions are equal exactly when the rooms are."""
    boxes, flips = random_boxes(len(rows), settings.min_scale, settings.max_aspect, generator)
    pixels = crop(torch.from_numpy(data.rgb[rows]), boxes, flips, settings.size_px, nearest=False)
    pixels = _normalised(jitter_colour(pixels, generator))
    template = int(torch.randint(tokens.shape[0], (1,), generator=generator))
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
        image = model.encode_image(pixels)
        text = model.encode_text(tokens[template])
    image, text = functional.normalize(image.float(), dim=-1), functional.normalize(text.float(), dim=-1)
    loss = multi_positive_infonce(image, text, torch.from_numpy(data.room[rows]), model.logit_scale.exp())
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))  # as CLIP does (arXiv 2103.00020, section 2.5)
    return float(loss.detach())


@torch.inference_mode()
def zero_shot_top1(
    model: Any, data: Captioned, rows: NDArray[np.int64], tokens: Tensor, settings: Pretraining
) -> float:
    """Share of the whole frames ``rows`` whose nearest room (mean of all templates' text vectors) is the true one."""
    model.eval()
    text = torch.stack([functional.normalize(model.encode_text(t).float(), dim=-1) for t in tokens]).mean(0)
    hits = 0
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        pixels = torch.from_numpy(data.rgb[part]).permute(0, 3, 1, 2).float()
        pixels = functional.interpolate(pixels, settings.size_px, mode="bilinear", antialias=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            image = model.encode_image(_normalised(pixels))
        hits += int(((image.float() @ text.T).argmax(1).numpy() == data.room[part]).sum())
    return hits / max(len(rows), 1)


def _normalised(pixels: Tensor) -> Tensor:
    return ((pixels / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)


def _build(config: dict[str, Any]) -> Any:
    return open_clip.model.CLIP(**copy.deepcopy(config))


def _tokens(rooms: list[str], context_length: int) -> Tensor:
    """(T, R, context_length) int64: every template filled with every room."""
    tokenizer = open_clip.SimpleTokenizer(context_length=context_length)
    return torch.stack([tokenizer([fill_template(template, room) for room in rooms]) for template in TEMPLATES])


def _validation_homes(count: int, share: float, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0x7EAC]).permutation(count)[: max(1, round(share * count))]


def _text_parameters(model: Any) -> list[nn.Parameter]:
    """Of open_clip's CLIP, whose text tower is not a module of its own."""
    towers = (model.token_embedding, model.transformer, model.ln_final)
    return [p for tower in towers for p in tower.parameters()] + [model.text_projection, model.positional_embedding]


def _groups(model: Any, settings: Pretraining) -> list[dict[str, Any]]:
    """Optimiser groups; ``share`` is the group's part of the learning rate."""
    text = {id(p) for p in _text_parameters(model)}
    image = [p for p in model.parameters() if id(p) not in text]
    return [
        {"params": [p for p in image if p.ndim > 1], "weight_decay": settings.weight_decay, "share": 1.0},
        {"params": [p for p in image if p.ndim <= 1], "weight_decay": 0.0, "share": 1.0},
        {"params": _text_parameters(model), "weight_decay": 0.0, "share": settings.text_lr_share},
    ]


def _rate(settings: Pretraining, step: int, total: int) -> float:
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.lr * warm * (1 + math.cos(math.pi * step / total)) / 2
