"""``edgevl teacher pretrain``: a small real open_clip model from captioned RGB of bags that know their rooms.

For machines without CLIP weights. Captions are made from the ``truth`` topic; depth is never looked at.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from safetensors.torch import save_file

from edgevl_core.atomic import atomic_directory
from edgevl_core.errors import UserError
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_train.cache import hash_bag
from edgevl_train.clip_training import Captioned, Pretraining, train
from edgevl_train.progress import RunProgress
from edgevl_train.teacher_config import CONFIG_FILE
from edgevl_train.teacher_weights import WEIGHTS_FILE

MIN_FURNITURE = 0.05  # a frame that shows less names no room


def pretrain(
    bags: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    settings: Pretraining | None = None,
    status_path: Path | None = None,
) -> str:
    """Train on ``bags`` and write ``out`` in open_clip's own layout (config, safetensors), with metrics.json.

    Returns:
        The teacher's spec, ``open_clip:@<out>``, for :func:`edgevl_train.teacher.load_teacher`.

    Raises:
        UserError: ``out`` exists; no captioned frames; fewer than two homes.
    """
    settings = settings or Pretraining()
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    out = Path(out)
    with (
        RunProgress(status_path, {"read": 10, "train": 90}) as progress,
        atomic_directory(out) as temporary,
    ):
        progress.stage("read")
        data = read_captioned(bags, settings.size_px * 4 // 3, progress.update)
        progress.stage("train")
        model, history = train(data, settings, seed, progress.update)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary / WEIGHTS_FILE)
        preprocess = {
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "interpolation": "bilinear",
            "resize_mode": "squash",
        }
        config = {"model_cfg": settings.model, "preprocess_cfg": {"size": settings.size_px, **preprocess}}
        (temporary / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
        record = {
            "settings": asdict(settings),
            "seed": seed,
            "rooms": data.rooms,
            "homes": len(data.homes),
            "frames": len(data.rgb),
            "frames_skipped": data.skipped,
            "bags": [{"name": Path(bag).name, "sha256": hash_bag(bag)} for bag in bags],
            "validation": history,
        }
        (temporary / "metrics.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    return f"open_clip:@{out}"


def read_captioned(
    bags: Sequence[Path], size_px: int, on_progress: Callable[[int, int, str], None] = lambda *_: None
) -> Captioned:
    """Frames of ``bags`` whose truth names a room and that show at least 5 % furniture, squashed to size_px."""
    images, rooms, homes, skipped = [], [], [], 0
    for number, bag in enumerate(bags):
        for pair in read_pairs(bag):
            if pair.truth is None or not pair.truth.room or pair.truth.furniture_fraction < MIN_FURNITURE:
                skipped += 1
                continue
            images.append(cv2.resize(pair.rgb, (size_px, size_px), interpolation=cv2.INTER_AREA))
            rooms.append(pair.truth.room)
            homes.append(f"{pair.truth.home}")
            on_progress(number, len(bags), f"{len(images)} captioned frames")
    names, homes_seen = sorted(set(rooms)), sorted(set(homes))
    if len(names) < 2 or len(homes_seen) < 2:
        raise UserError(
            f"{len(bags)} bag(s) hold {len(images)} frames of {len(names)} rooms in {len(homes_seen)} homes with a "
            "known room (topic truth): at least 2 rooms and 2 homes are needed; make some with `edgevl sim`"
        )
    return Captioned(
        np.stack(images),
        np.array([names.index(room) for room in rooms]),
        np.array([homes_seen.index(home) for home in homes]),
        names,
        homes_seen,
        skipped,
    )
