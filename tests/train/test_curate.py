import numpy as np
import pytest

from edgevl_core.errors import UserError
from edgevl_core.fusion import probabilities
from edgevl_train.curate import curate
from edgevl_train.recipe import CurationSection

pytestmark = pytest.mark.unit
NAMES = ["kitchen", "hallway", "attic"]
BANK = np.eye(3, dtype=np.float32)


def embeddings(kinds: list[int], sure: list[float]) -> np.ndarray:
    """Unit vectors that lean towards their kind by ``sure`` and towards the next one by the rest."""
    x = np.zeros((len(kinds), 3), np.float32)
    x[np.arange(len(kinds)), kinds] = sure
    x[np.arange(len(kinds)), (np.array(kinds) + 1) % 3] = np.sqrt(1 - np.square(sure))
    return x


def test_top_q_keeps_the_rare_kind_that_a_global_ratio_drops() -> None:
    x = embeddings([0] * 10 + [1] * 2, [0.999] * 10 + [0.8, 0.78])
    per_class = curate(x, BANK, NAMES, 20.0, CurationSection(method="per_class_top_q", q=0.5))
    overall = curate(x, BANK, NAMES, 20.0, CurationSection(method="ratio", ratio=0.5))
    assert per_class.report["hallway"] | {"least_confidence_kept": None} == {
        "candidates": 2,
        "kept": 1,
        "dropped": 1,
        "least_confidence_kept": None,
    }
    assert per_class.kept.tolist()[-1] == 10
    assert overall.report["hallway"]["kept"] == 0
    assert len(overall.kept) == 6


def test_pseudo_labels_are_the_teachers_answers() -> None:
    result = curate(embeddings([2, 0, 1], [0.9] * 3), BANK, NAMES, 20.0, CurationSection())
    assert result.pseudo_label.tolist() == [2, 0, 1]
    assert result.kept.tolist() == [0, 1, 2]


def test_threshold_is_inclusive_and_zero_kept_names_it() -> None:
    x = embeddings([0, 1], [0.9, 0.75])
    confidence = probabilities(x, BANK, 20.0, 1.0).max(1)
    section = CurationSection(method="threshold", threshold=float(confidence[0]))
    assert curate(x, BANK, NAMES, 20.0, section).kept.tolist() == [0]
    with pytest.raises(UserError, match=r"curation\.threshold=1\.0 keeps 0 of 2 pairs"):
        curate(x, BANK, NAMES, 20.0, CurationSection(method="threshold", threshold=1.0))
