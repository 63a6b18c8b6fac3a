import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import probabilities
from edgevl_train.data.curate import curate, merge_labels
from edgevl_train.sections import CurationSection

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
    confidence = round(float(per_class.confidence[10]), 4)
    assert per_class.report["hallway"] == {
        "candidates": 2,
        "kept": 1,
        "dropped": 1,
        "least_confidence_kept": confidence,
        "median_confidence_kept": confidence,
        "merged": [],
    }
    assert per_class.report["attic"]["least_confidence_kept"] is None
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


def unit(degrees: list[float]) -> np.ndarray:
    """Unit vectors in a plane, (C, 3)."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle), np.zeros(len(angle))], 1).astype(np.float32)


def test_near_duplicates_are_one_label_and_their_probabilities_are_summed() -> None:
    bank, names = unit([0, 60, 4]), ["lounge", "kitchen", "living room"]
    x = unit([2, 60])
    apart = curate(x, bank, names, 20.0, CurationSection(merge_above=1.0))
    merged = curate(x, bank, names, 20.0, CurationSection(merge_above=0.95))
    assert apart.confidence[0] < 0.51 < 0.99 < merged.confidence[0]
    assert merged.pseudo_label.tolist() == [0, 1]
    assert merged.confidence[0] == pytest.approx(probabilities(x, bank, 20.0, 1.0)[0, [0, 2]].sum())
    assert list(merged.report) == ["lounge", "kitchen"]
    assert merged.report["lounge"]["merged"] == ["living room"]
    assert list(apart.report) == names


def test_a_threshold_drops_what_duplicates_have_split_and_merging_keeps_it() -> None:
    bank, names = unit([0, 60, 4]), ["lounge", "kitchen", "living room"]
    x = unit([2, 2, 60])
    sections = [CurationSection(method="threshold", threshold=0.6, merge_above=above) for above in (1.0, 0.95)]
    assert [curate(x, bank, names, 20.0, section).kept.tolist() for section in sections] == [[2], [0, 1, 2]]


def test_a_chain_of_similar_labels_is_not_one_group() -> None:
    assert merge_labels(unit([0, 10, 20, 30]), above=np.cos(np.radians(11))).tolist() == [0, 0, 2, 2]


def test_at_one_not_even_equal_vectors_are_merged() -> None:
    assert merge_labels(unit([0, 0]), above=1.0).tolist() == [0, 1]
