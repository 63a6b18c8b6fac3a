"""A run's pairs and what the teacher said of them, from what the run has kept."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import probabilities
from edgevl_core.bundle.label_bank import load_label_bank
from edgevl_core.bundle.student_bundle import LABEL_BANK_FILE
from edgevl_train.data.cache import Cache, open_cache
from edgevl_train.data.temporal import smoothed
from edgevl_train.report.run_files import RunFiles
from edgevl_train.sections import TemporalSection


@dataclass(frozen=True)
class RunPairs:
    """N pairs of a run.

    Attributes:
        labels: C names of the label set; vectors: (C, D) float32, their text vectors; logit_scale: the teacher's.
        target: (N, D) float32, the teacher's embedding of the whole RGB frames, as the student learned from it.
        val: (M,) int64 rows that validate, sorted.
    """

    cache: Cache
    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    logit_scale: float
    target: NDArray[np.float32]
    val: NDArray[np.int64]

    def teacher(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M, C) the teacher's probabilities of some rows."""
        return probabilities(self.target[rows], self.vectors, self.logit_scale, 1.0)


def open_cache_of(files: RunFiles) -> Cache:
    """The run's cache.

    Raises:
        UserError: it is gone or damaged; a sentence for the page.
    """
    if not (files.run / "cache").is_dir():
        raise UserError(
            "The run's cache of pairs is no longer there: pictures cannot be shown, and nothing new measured."
        )
    return open_cache(files.run / "cache")


def open_pairs(files: RunFiles, cache: Cache) -> RunPairs:
    """Pairs, teacher and labels together.

    Raises:
        UserError: a part is gone or damaged; a sentence for the page.
    """
    if files.manifest is None:
        raise UserError("The run has no bundle that can be read: without its labels the answers cannot be shown.")
    bank = load_label_bank(files.run / "bundle" / LABEL_BANK_FILE).select(files.manifest.labels)
    try:
        meta = json.loads((files.run / "teacher_embeddings.json").read_text(encoding="utf-8"))
        shape = tuple(meta["shape"])
        stored = np.memmap(files.run / "teacher_embeddings.f16", np.float16, "r", shape=shape)
        val = np.sort(np.array(meta["only_full"], np.int64))
        if shape[1] != len(cache) or shape[2] != bank.vectors.shape[1] or (len(val) and val[-1] >= len(cache)):
            raise ValueError(f"they are of the shape {shape}")
        temporal = TemporalSection.model_validate(files.recipe.get("temporal", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The teacher's embeddings of this run cannot be read ({error}): answers cannot be shown."
        ) from error
    target = smoothed(stored[:1], cache.stamp_ns, cache.bag, val, temporal)[0]
    return RunPairs(cache, bank.names, bank.vectors, files.manifest.logit_scale, np.asarray(target, np.float32), val)
