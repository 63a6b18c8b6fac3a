"""Trains an open_clip model on captioned images: contrastive, with images of one caption as positives."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.data.augment import COLOUR_DRAWS, random_boxes, shift_colour
from edgevl_train.data.prefetch import one_ahead
from edgevl_train.data.views import crop
from edgevl_train.objectives.contrast import multi_positive_infonce
from edgevl_train.pretrain.captioned import Captioned
from edgevl_train.pretrain.settings import Phase, Pretraining
from edgevl_train.sharing import Share, among
from edgevl_train.student.pretrained import fitting, folded_norms
from edgevl_train.training.context import OnProgress, RunContext
from edgevl_train.training.loop import Best, Stage, fit

TEXT_SCALE = 5.0  # low, so that captions are pushed apart all the way, not only until they can be told apart
MAX_LOGIT_SCALE = math.log(100)  # as CLIP has it (arXiv 2103.00020, section 2.5)


class Batch(NamedTuple):
    """(B, 3, S, S) normalised float32, (B,) row of ``tokens``, (R, L) int64: a sentence for each of R captions."""

    pixels: Tensor
    caption: Tensor
    tokens: Tensor


def build(settings: Pretraining) -> Any:
    """The model with its first weights.

    Raises:
        UserError: open_clip cannot build or run such a model; the backbone's file does not fit, or cannot be trained.
    """
    try:
        model = open_clip.model.CLIP(**copy.deepcopy(settings.model))
        _run_once(model, settings)
    except Exception as error:  # it is foreign code, and takes what it is given
        raise UserError(
            f"model {settings.model} cannot be built or run ({type(error).__name__}: {one_line(str(error), 200)}): "
            "correct --set model.KEY; nothing was begun"
        ) from error
    if settings.backbone is not None:
        trunk, name = model.visual.trunk, settings.model["vision_cfg"]["timm_model_name"]
        trunk.load_state_dict(fitting(trunk, name, settings.backbone))
        if settings.epochs and folded_norms(trunk):
            raise UserError(
                f"backbone {settings.backbone}: its BatchNorms are folded away, which training would undo: keep the "
                "tower as it is (--set epochs=0 --set frozen_epochs=3), or pass weights that have them"
            )
    return model.to(memory_format=torch.channels_last)


@torch.no_grad()
def _run_once(model: Any, settings: Pretraining) -> None:
    """Both towers, as they are used; without a random number."""
    model.eval()
    model.visual.trunk  # noqa: B018  (of timm: what is trained here)
    model.encode_image(torch.zeros(1, 3, settings.size_px, settings.size_px))
    model.encode_text(_tokens(["a"], settings))
    model.train()


def train(data: Captioned, settings: Pretraining, context: RunContext) -> tuple[nn.Module, Best]:
    """The model of the epoch with the best zero-shot top-1 on validation places, and that epoch's figures.

    A call that finds checkpoints in the context's directory goes on, see :func:`edgevl_train.training.loop.fit`.
    """
    torch.manual_seed(settings.seed)
    is_val = np.isin(data.place, _validation_places(int(data.place.max()) + 1, settings.val_share, settings.seed))
    train_rows, val_rows = np.flatnonzero(~is_val), np.flatnonzero(is_val)
    model = build(settings)
    tokens = [_tokens(texts, settings) for texts in data.texts]
    separate_captions(model, tokens, settings)
    phases: list[Phase] = [phase for phase in ("frozen", "whole") if settings.section(phase).epochs]  # type: ignore[misc]
    best, done, total = Best(), 0, sum(settings.section(phase).epochs for phase in phases)
    for phase in phases:
        model.visual.trunk.requires_grad_(phase == "whole")
        stage = stage_of(phase, data, train_rows, val_rows, tokens, settings, context.fabric)
        epochs = stage.section.epochs
        part = replace(context, on_progress=_part_of(context.on_progress, done, epochs, total))
        best = fit(model, stage, part, seed=settings.seed, checkpoint_every_s=settings.checkpoint_every_s)
        model.load_state_dict(best.state)
        done += epochs
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return model.eval(), best


def _part_of(on_progress: OnProgress, before: int, epochs: int, total: int) -> OnProgress:
    """Progress of one phase as that of all, in thousandths of an epoch."""

    def show(done: int, steps: int, message: str) -> None:
        on_progress(round(1000 * (before + epochs * done / max(steps, 1))), 1000 * total, message)

    return show


def stage_of(
    phase: Phase,
    data: Captioned,
    train_rows: NDArray[np.int64],
    val_rows: NDArray[np.int64],
    tokens: list[Tensor],
    settings: Pretraining,
    fabric: Fabric,
) -> Stage:
    """One phase of the training, in which each process of ``fabric`` has its part of every batch."""
    world = fabric.world_size
    own = min(settings.batch, len(train_rows)) // world
    steps = len(train_rows) // (own * world)

    def batches(epoch: int, first: int) -> Iterator[Batch]:
        generator = np.random.default_rng([settings.seed, phase == "whole", epoch])
        order = generator.permutation(train_rows)
        seeds, whole = generator.integers(2**63, size=steps), own * world
        mine = slice(fabric.global_rank, None, world)  # of sorted rows, so that each has some of every folder
        for step in range(first, steps):
            rows = order[step * whole : (step + 1) * whole]
            yield _batch(data, rows, mine, tokens, settings, int(seeds[step]), fabric.device)

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        if phase == "frozen":
            model.visual.trunk.eval()  # its BatchNorms keep their statistics
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        image, text, scale = model(batch.pixels, batch.tokens.to(fabric.device))
        image = torch.as_tensor(fabric.all_gather(image.float(), sync_grads=True)).view(-1, image.shape[-1])
        caption = torch.as_tensor(fabric.all_gather(batch.caption.to(fabric.device))).view(-1)
        return {"loss": multi_positive_infonce(image, text.float(), caption, scale)}

    return Stage(
        name=phase,
        section=settings.section(phase),
        steps=steps,
        batches=lambda epoch, first: one_ahead(batches(epoch, first)),
        loss=loss,
        validate=lambda model: {"score": zero_shot_top1(model, data, val_rows, tokens, settings, among(fabric))},
        score_start=phase == "whole" and settings.frozen_epochs > 0,
        cure="lower lr, or warm up longer (warmup_steps)",
        optimiser=lambda model: torch.optim.AdamW(_groups(model, settings), lr=settings.lr),
    )


def separate_captions(model: Any, tokens: list[Tensor], settings: Pretraining) -> None:
    """Teach the text tower alone that sentences of one caption belong together, whatever the template.

    A fresh text tower puts all captions on nearly the same spot, and the image tower then has nothing to aim at: on
    simulated homes this second of training saved half of the epochs.

    Args:
        tokens: for each caption (T, L) int64, its sentences.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(_text_parameters(model), lr=1e-3)
    longest = max(len(each) for each in tokens)
    for _ in range(settings.text_steps):
        some = torch.randperm(len(tokens), generator=generator)[: settings.batch].tolist()
        first, second = torch.randint(longest, (2,), generator=generator).tolist()
        a, b = (
            functional.normalize(model.encode_text(torch.stack([tokens[row][i % len(tokens[row])] for row in some])))
            for i in (first, second)
        )
        loss = functional.cross_entropy(a @ b.T * TEXT_SCALE, torch.arange(len(some)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def _batch(
    data: Captioned,
    rows: NDArray[np.int64],
    mine: slice,
    tokens: list[Tensor],
    settings: Pretraining,
    seed: int,
    device: torch.device,
) -> Batch:
    """Augmented images, and one sentence for each caption: of all captions, or of the batch's own if there are more.

    The images are augmented on ``device`` and stay there.

    Args:
        rows: of the batch of all processes, for which all is drawn, so that each has the same sentences, and an image
            looks the same whichever process has it; ``mine``: this process's part of them, once they are sorted.
    """
    generator = torch.Generator().manual_seed(seed)
    boxes, flips = random_boxes(len(rows), settings.min_scale, settings.max_aspect, generator)
    colours = torch.rand(COLOUR_DRAWS, len(rows), generator=generator)
    number = int(torch.randint(2**31, (1,), generator=generator))
    rows = np.sort(rows)  # in the order of the file they are read from
    present = np.arange(len(tokens)) if len(tokens) <= settings.batch else np.unique(data.caption[rows])
    sentences = torch.stack([tokens[row][number % len(tokens[row])] for row in present])
    rows = rows[mine]
    images, boxes, flips = (part.to(device) for part in (torch.from_numpy(data.rgb[rows]), boxes[mine], flips[mine]))
    pixels = crop(images, boxes, flips, settings.crop_px, nearest=False)
    pixels = _normalised(shift_colour(pixels, colours[:, mine], **settings.colours.model_dump()), settings)
    return Batch(pixels, torch.from_numpy(np.searchsorted(present, data.caption[rows])), sentences)


@torch.inference_mode()
def zero_shot_top1(
    model: Any, data: Captioned, rows: NDArray[np.int64], tokens: list[Tensor], settings: Pretraining, share: Share
) -> float:
    """Which part of the whole images ``rows`` has the true caption (mean of its sentences' vectors) as the nearest."""
    model.eval()
    device = model.logit_scale.device
    vectors = [functional.normalize(model.encode_text(each.to(device)).float(), dim=-1).mean(0) for each in tokens]
    text = functional.normalize(torch.stack(vectors), dim=-1)  # as a label bank has it

    def hits(start: int) -> int:
        part = rows[start : start + 128]
        pixels = torch.from_numpy(data.rgb[part]).to(device).permute(0, 3, 1, 2).float()
        pixels = functional.interpolate(pixels, settings.size_px, mode="bilinear", antialias=True)
        image = model.encode_image(_normalised(pixels, settings))
        return int(((image.float() @ text.T).argmax(1).cpu().numpy() == data.caption[part]).sum())

    return sum(share(range(0, len(rows), 128), hits)) / max(len(rows), 1)


def _normalised(pixels: Tensor, settings: Pretraining) -> Tensor:
    mean, std = (
        torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (settings.mean, settings.std)
    )
    return ((pixels / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _tokens(texts: list[str], settings: Pretraining) -> Tensor:
    """(T, context_length) int64."""
    return open_clip.SimpleTokenizer(context_length=settings.model["text_cfg"]["context_length"])(texts)


def _validation_places(count: int, share: float, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0x7EAC]).permutation(count)[: max(1, round(share * count))]


def _text_parameters(model: Any) -> list[nn.Parameter]:
    """Of open_clip's CLIP, whose text tower is not a module of its own."""
    towers = (model.token_embedding, model.transformer, model.ln_final)
    return [p for tower in towers for p in tower.parameters()] + [model.text_projection, model.positional_embedding]


def _groups(model: Any, settings: Pretraining) -> list[dict[str, Any]]:
    """Optimiser groups; ``share`` is the group's part of the learning rate."""
    text = {id(p) for p in _text_parameters(model)}
    trunk = [p for p in model.visual.trunk.parameters() if p.requires_grad]
    others = {id(p) for p in model.visual.trunk.parameters()} | text
    rest = [p for p in model.parameters() if id(p) not in others]
    groups = [{"params": _text_parameters(model), "weight_decay": 0.0, "share": settings.text_lr_share}]
    for parameters, share in ((trunk, settings.backbone_lr_share), (rest, 1.0)):
        for decays, decay in ((True, settings.weight_decay), (False, 0.0)):
            chosen = [p for p in parameters if (p.ndim > 1) == decays]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "share": share})
    return groups
