"""Answers of models to frames whose rooms are known, and what they are worth: top-1, macro, 95 % intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edgevl_core.bundle.label_bank import LabelBank, build_label_bank
from edgevl_core.bundle.labels import load_labels
from edgevl_core.bundle.manifest import read_manifest
from edgevl_core.camera.depth import encode_depth
from edgevl_core.camera.preprocess import to_batch, to_input
from edgevl_core.engine import Engine
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_train.evaluation.predictions import MODALITIES, answers
from edgevl_train.evaluation.predictors import Predictor, engine_predictor, teacher_predictor
from edgevl_train.quantise import calibrate, export_int8, fake_quantise, fuse, keep_sums, scheme_of
from edgevl_train.recipe import load_recipe
from edgevl_train.restore import load_student
from edgevl_train.teacher.loading import Teacher, load_teacher
from real_rooms_parts.material import HOME_ROOMS, LABELS

STUDENTS = {"float": "fp32", "PTQ int8": "ptq", "int8": "int8"}
UNTRAINED = "PTQ, sums kept"
BOOTSTRAPS = 2000


@lru_cache(maxsize=2)
def known_frames(bag: Path) -> list[RgbdPair]:
    """The frames of a bag that show one of the rooms of a home."""
    return [pair for pair in read_pairs(bag) if pair.truth and pair.truth.room in HOME_ROOMS]


@lru_cache(maxsize=1)
def loaded(spec: str) -> Teacher:
    """The teacher, loaded once."""
    return load_teacher(spec)


def home_bank(teacher: Teacher) -> LabelBank:
    """Text vectors of the rooms of a home."""
    return build_label_bank([load_labels(LABELS)], teacher.encode_text).select(HOME_ROOMS)


def student(run: Path, kind: str, teacher: Teacher) -> Predictor:
    """One of a run's students as its engine runs it, with the bundle's trust in each camera."""
    manifest = read_manifest(run / "bundle")
    engine = Engine(run / "onnx" / f"{STUDENTS[kind]}.onnx", threads=2)
    bank = home_bank(teacher)
    return engine_predictor(kind, engine, manifest.preprocess, bank, manifest.logit_scale, manifest.trust)


def untrained_int8(run: Path, pairs: Sequence[RgbdPair], teacher: Teacher) -> Predictor:
    """The best int8 student that takes no training: the float one, calibrated with ``pairs``, filters' sums kept."""
    recipe, manifest, file = load_recipe(run / "recipe.yaml"), read_manifest(run / "bundle"), run / "onnx" / "kept.onnx"
    if not file.exists():
        network = load_student(run / "checkpoints" / "stage1.pt", recipe.student, teacher.embed_dim)
        some = [pairs[row] for row in np.linspace(0, len(pairs) - 1, recipe.stage2.calibration_pairs).astype(int)]
        images = [to_input(image, manifest.preprocess) for pair in some for image in (pair.rgb, pair.depth)]
        quantised = calibrate(
            fake_quantise(fuse(network), scheme_of(recipe.stage2)), torch.from_numpy(to_batch(images)).split(64)
        )
        export_int8(keep_sums(quantised), file, recipe.student.size_px)
    bank = home_bank(teacher)
    engine = Engine(file, threads=2)
    return engine_predictor("kept", engine, manifest.preprocess, bank, manifest.logit_scale, manifest.trust)


def answered(predictor: Predictor, pairs: Sequence[RgbdPair]) -> dict[str, list[int]]:
    """The answer to each frame by modality, rows of HOME_ROOMS."""
    embedded = predictor.embed(pairs)
    found = answers(
        embedded, predictor.bank.vectors, predictor.logit_scale, predictor.temperature, predictor.unknown_threshold
    )
    return {name: found[name].label.tolist() for name in MODALITIES}


def teacher_seen(teacher: Teacher, run: Path) -> Predictor:
    """The teacher on RGB, and on depth shown to it as the student's picture of it; it sees what a run showed it."""
    recipe = load_recipe(run / "recipe.yaml")
    view = recipe.robot_preprocess().model_copy(update={"size_px": recipe.cache.size_px})
    return replace(teacher_predictor(teacher, LABELS, view=view), bank=home_bank(teacher), view=view)


def truth(pairs: Sequence[RgbdPair]) -> tuple[list[int], list[str]]:
    """The true rooms, rows of HOME_ROOMS, and the sequences."""
    known = [pair.truth for pair in pairs if pair.truth]
    return [HOME_ROOMS.index(each.room) for each in known], [each.home for each in known]


def supervised(
    features: Callable[[Sequence[RgbdPair]], NDArray[np.float32]], train: Sequence[RgbdPair], test: Sequence[RgbdPair]
) -> list[int]:
    """Answers of a linear head that was trained WITH the rooms of ``train``, on fixed features."""
    x, y = features(train), torch.tensor(truth(train)[0])
    mean, std = x.mean(0), x.std(0) + 1e-3
    torch.manual_seed(0)
    head, scaled = nn.Linear(x.shape[1], len(HOME_ROOMS)), torch.from_numpy((x - mean) / std)
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.5)
    for _ in range(60):
        for rows in torch.randperm(len(y)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(head(scaled[rows]), y[rows], label_smoothing=0.1).backward()
            optimiser.step()
    with torch.no_grad():
        return head(torch.from_numpy((features(test) - mean) / std)).argmax(1).tolist()


def tower_features(teacher: Teacher, depth: str = "") -> Callable[[Sequence[RgbdPair]], NDArray[np.float32]]:
    """(N, F) float32: what the teacher's image tower sees before its projection, of RGB or of depth encoded so."""

    @torch.inference_mode()
    def features(pairs: Sequence[RgbdPair]) -> NDArray[np.float32]:
        images = [encode_depth(pair.depth, depth) if depth else pair.rgb for pair in pairs]
        found = []
        hook = teacher.model.visual.trunk.register_forward_hook(lambda *made: found.append(made[2].flatten(1).numpy()))
        teacher.encode_image(images)
        hook.remove()
        return np.concatenate(found)

    return features


def figures(given: Sequence[int], true: Sequence[int], sequence: Sequence[str]) -> dict[str, Any]:
    """top1 and macro, each (figure, low, high): 95 % by drawing whole sequences again, for their frames are alike."""
    right, room = np.array(given) == np.array(true), np.array(true)
    names, of = np.unique(sequence, return_inverse=True)
    # Right answers and frames by sequence and room: a draw is a sum of some sequences.
    hits, all_of = (np.zeros((len(names), len(HOME_ROOMS))) for _ in range(2))
    np.add.at(hits, (of, room), right)
    np.add.at(all_of, (of, room), 1)
    drawn = np.random.default_rng(0).integers(len(names), size=(BOOTSTRAPS, len(names)))
    found = {}
    for name, measure in (("top1", _top1), ("macro", _macro)):
        low, high = np.percentile(measure(hits[drawn].sum(1), all_of[drawn].sum(1)), [2.5, 97.5])
        found[name] = [float(measure(hits.sum(0), all_of.sum(0))), float(low), float(high)]
    return found


def _top1(hits: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    return hits.sum(-1) / count.sum(-1)


def _macro(hits: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the rooms that are there."""
    share = np.divide(hits, count, out=np.zeros_like(hits), where=count > 0)
    return share.sum(-1) / (count > 0).sum(-1)


def with_holes(pairs: Sequence[RgbdPair], others: Sequence[RgbdPair]) -> list[RgbdPair]:
    """The pairs with the holes in the depth of another camera's frames, one after the other, punched into theirs."""
    punched = []
    for number, pair in enumerate(pairs):
        hole = np.isnan(others[number % len(others)].depth_m).astype(np.uint8)
        hole = cv2.resize(hole, pair.depth_m.shape[::-1], interpolation=cv2.INTER_NEAREST)
        punched.append(replace(pair, depth=np.where(hole > 0, np.float32(np.nan), pair.depth_m)))
    return punched


def agreement(predictor: Predictor, teacher: Teacher, pairs: Sequence[RgbdPair]) -> Mapping[str, Any]:
    """Mean cosine to the teacher's embedding of RGB, and share of its answers, by modality."""
    target = teacher.encode_image([pair.rgb for pair in pairs])
    answer = (target @ predictor.bank.vectors.T).argmax(1)
    embedded, given = predictor.embed(pairs), answered(predictor, pairs)
    cosine = {"rgb": embedded.rgb, "depth": embedded.depth}
    return {
        "cosine": {name: float((vectors * target).sum(1).mean()) for name, vectors in cosine.items()},
        "agreement": {name: float((np.array(rows) == answer).mean()) for name, rows in given.items()},
    }
