"""``edgevl teacher pretrain``: a small real open_clip model from images that name what they show.

For machines without CLIP weights. Images are frames of bags with truth, photos, or both; depth is never looked at.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from edgevl_core.base.atomic import atomic_directory, atomic_write, writing
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.labels import LabelSet, load_labels
from edgevl_train.data.cache import hash_bag
from edgevl_train.data.photos import is_bag, photo_files
from edgevl_train.metrics_file import read_records
from edgevl_train.pretrain.captioned import Captioned, read_captioned
from edgevl_train.pretrain.clip_training import build, train
from edgevl_train.pretrain.settings import Pretraining
from edgevl_train.progress import RunProgress
from edgevl_train.run_directory import LOCK_FILE, at_work, check_nobody_at_work
from edgevl_train.teacher.config import CONFIG_FILE
from edgevl_train.teacher.weights import WEIGHTS_FILE
from edgevl_train.training.checkpoint import Best
from edgevl_train.training.context import OnProgress, RunContext
from edgevl_train.training.distributed import first_process, start_fabric
from edgevl_train.training.signals import terminable

_CACHE_SHARE = 4 / 3  # side of the stored images over the model's: what crops are cut from


def pretrain(
    sources: Sequence[Path],
    out: Path,
    *,
    labels: Path | str | None = None,
    settings: Pretraining | None = None,
    resume: bool = False,
    status_path: Path | None = None,
) -> str:
    """Train on ``sources`` and write ``out`` in open_clip's own layout (config, safetensors), with metrics.json.

    Until it is done, everything lies in a directory beside it, ``.<out>.pretraining``: checkpoints, metrics.jsonl and
    the images.

    Args:
        sources: bags with truth, folders with one folder of photos a label, CSV files ``image,caption``; mixed or not.
        labels: a label file, or the name of a shipped one: what folders and rooms are called, and sentences for them.
        resume: go on with a pretraining that was cut off.

    Returns:
        The teacher's spec, ``open_clip:@<out>``, for :func:`edgevl_train.teacher.loading.load_teacher`.

    Raises:
        UserError: ``out`` exists; no captioned images, or of fewer than two labels or places; photos that cannot be
            read; weights that do not fit the image tower; another pretraining than the one to be resumed, or one
            that another process is at.
    """
    settings, out = settings or Pretraining(), Path(out)
    if out.exists():
        raise UserError(f"{out} exists already: choose a new name, or remove it first")
    label_set = load_labels(labels) if labels is not None else None
    model = build(settings)
    paths = [Path(source) for source in sources]
    hashes = [{"name": path.name, "sha256": _digest(path)} for path in paths]
    fingerprint = _fingerprint(hashes, label_set, settings)
    work = out.with_name(f".{out.name}.pretraining")
    if first_process():
        _check_work(work, resume)
    fabric = start_fabric(settings, network=model)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    shares = {"read": 10.0, "train": 90.0}
    if not fabric.is_global_zero:
        with contextlib.suppress(SystemExit, KeyboardInterrupt), terminable():
            progress = RunProgress(None, shares, stream=io.StringIO())
            _learn(paths, label_set, settings, RunContext(fabric, work, fingerprint, progress.update), progress)
        raise SystemExit(0)  # the first process writes the model and what it was made from
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with at_work(work), terminable(), RunProgress(status_path, shares) as progress:
        context = RunContext(fabric, work, fingerprint, progress.update)
        model, best, data = _learn(paths, label_set, settings, context, progress)
        record = _record(data, best, settings, work) | {"sources": hashes}
        with atomic_directory(out) as directory:
            _write(model, record, settings, directory)
        shutil.rmtree(work)
    return f"open_clip:@{out}"


def _learn(
    paths: list[Path],
    labels: LabelSet | None,
    settings: Pretraining,
    context: RunContext,
    progress: RunProgress,
) -> tuple[Any, Best, Captioned]:
    fabric, work = context.fabric, context.directory
    with fabric.rank_zero_first():
        if fabric.is_global_zero:
            _open_work(work, context.fingerprint)
        progress.stage("read")
        data = _read(paths, labels, settings, work, progress.update)
    if data.unreadable:
        progress.say(f"{len(data.unreadable)} images cannot be read and are left out: {'; '.join(data.unreadable[:5])}")
    for loss in data.losses:
        progress.say(f"lost: {loss}")
    progress.stage("train")
    model, best = train(data, settings, context)
    return model, best, data


def _record(data: Captioned, best: Best, settings: Pretraining, work: Path) -> dict[str, Any]:
    """What metrics.json says."""
    return {
        "settings": settings.model_dump(mode="json"),
        "captions": data.names,
        "places": int(data.place.max()) + 1,
        "images": len(data.rgb),
        "images_skipped": data.skipped,
        "images_unreadable": data.unreadable,
        "validation": read_records(work),
        "best": {"epoch": best.epoch, "top1": best.metrics["score"]},
    }


def _check_work(work: Path, resume: bool) -> None:
    """Refuse a pretraining that is not to be gone on with, or that another process is at, before anything slow."""
    if work.is_symlink():
        raise UserError(f"{work} is a link: what it leads to would be cleared, remove it or choose a new name")
    check_nobody_at_work(work)
    if work.exists() and not resume:
        raise UserError(f"{work} is a pretraining that was cut off: pass --resume to go on with it, or remove it")


def _open_work(work: Path, fingerprint: str) -> None:
    """Begin anew in a directory without a key, all but the lock cleared; else check that it is of these inputs."""
    key = work / "fingerprint"
    if key.is_file() and key.read_text() != fingerprint:
        raise UserError(f"{work} was begun with other images, labels or settings: resume with those, or remove it")
    if not key.is_file():
        for path in work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_FILE:
                path.unlink()
        atomic_write(key, fingerprint.encode())


def _read(
    paths: list[Path], labels: LabelSet | None, settings: Pretraining, work: Path, on_progress: OnProgress
) -> Captioned:
    try:
        size_px = round(settings.size_px * _CACHE_SHARE)
        return read_captioned(paths, size_px, work, labels, on_progress, settings.pairs)
    except UserError:
        shutil.rmtree(work)  # nothing of it can be gone on with
        raise


def _digest(path: Path) -> str:
    if is_bag(path):
        return hash_bag(path)
    if path.is_file():
        return sha256_file(path)
    files = [(str(file.relative_to(path)), file.stat().st_size if file.exists() else -1) for file in photo_files(path)]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _fingerprint(sources: list[dict[str, str]], labels: LabelSet | None, settings: Pretraining) -> str:
    backbone = sha256_file(settings.backbone) if settings.backbone else ""
    parts = [sources, labels.model_dump(mode="json") if labels else None, settings.model_dump(mode="json"), backbone]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _write(model: Any, record: dict[str, Any], settings: Pretraining, directory: Path) -> None:
    save_file({key: tensor.cpu().contiguous() for key, tensor in model.state_dict().items()}, directory / WEIGHTS_FILE)
    preprocess = {
        "size": settings.size_px,
        "mean": list(settings.mean),
        "std": list(settings.std),
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    config = {"model_cfg": settings.model, "preprocess_cfg": preprocess}
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
    (directory / "metrics.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
