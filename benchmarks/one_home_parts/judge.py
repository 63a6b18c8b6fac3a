"""How right a model is on frames whose rooms are known, in any light, and what it calls unknown."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_train.evaluation.metrics.unknown import unknown_roc
from edgevl_train.evaluation.predictions import answers
from edgevl_train.evaluation.predictors import Predictor

MIN_FURNITURE = 0.05  # frames that show less name no room
GAINS = (1.0, 0.5, 0.3, 0.2, 0.12, 0.06)
NOISE = 3.0  # levels of 255, the camera's own


@lru_cache(maxsize=4)
def frames(bag: Path) -> list[RgbdPair]:
    """The frames of a bag that show a room."""
    return [pair for pair in read_pairs(bag) if pair.truth and pair.truth.furniture_fraction >= MIN_FURNITURE]


def top1(predictor: Predictor, pairs: Sequence[RgbdPair], gain: float = 1.0) -> dict[str, float]:
    """Share of right answers by modality, RGB in so much light."""
    rng = np.random.default_rng(0)
    dim = pairs if gain == 1 else [replace(pair, rgb=_dimmed(pair.rgb, gain, rng)) for pair in pairs]
    embedded = predictor.embed(dim)
    found = answers(
        embedded, predictor.bank.vectors, predictor.logit_scale, predictor.temperature, predictor.unknown_threshold
    )
    true = _true(predictor, pairs)
    return {name: float((answer.label == true).mean()) for name, answer in found.items()}


def unknown(predictor: Predictor, pairs: Sequence[RgbdPair]) -> dict[str, dict[str, float]]:
    """Each room type in turn without its word: mean share of its frames called unknown, by modality.

    caught: where 10 % of the others are called unknown; by_threshold, false_unknown: by the bundle's own threshold.
    """
    embedded, true = predictor.embed(pairs), _true(predictor, pairs)
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for room in np.unique(true):
        kept = np.arange(len(predictor.bank.names)) != room
        calibration = (predictor.temperature, predictor.unknown_threshold)
        found = answers(embedded, predictor.bank.vectors[kept], predictor.logit_scale, *calibration)
        outside = true == room
        for name, answer in found.items():
            roc = unknown_roc(answer.certainty[~outside], answer.certainty[outside])
            caught, false = float((~answer.known[outside]).mean()), float((~answer.known[~outside]).mean())
            rows.setdefault(name, []).append((roc["caught_at_10_percent"], caught, false))
    keys = ("caught", "by_threshold", "false_unknown")
    return {name: dict(zip(keys, np.mean(values, axis=0).tolist())) for name, values in rows.items()}


def _true(predictor: Predictor, pairs: Sequence[RgbdPair]) -> np.ndarray:
    names = list(predictor.bank.names)
    return np.array([names.index(pair.truth.room) for pair in pairs if pair.truth], np.int64)


def _dimmed(rgb: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(gain * rgb + rng.normal(0, NOISE, rgb.shape), 0, 255).astype(np.uint8)
