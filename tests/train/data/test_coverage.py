"""What a run's pairs show, and the sentences about it."""

import numpy as np
import pytest

from edgevl_train.data.coverage import Coverage, measure_coverage

pytestmark = pytest.mark.unit
LABELS = ("kitchen", "office", "bedroom", "hallway")


def of(train: list[int], val: list[int]) -> Coverage:
    return Coverage(LABELS, np.array(train), np.array(val))


def test_answers_are_counted() -> None:
    answer = np.array([0, 0, 1, 2, 2, 2])
    found = measure_coverage(LABELS, answer, np.array([0, 2, 3, 4]), np.array([1, 5]))
    assert (found.train.tolist(), found.val.tolist()) == ([1, 1, 2, 0], [1, 0, 1, 0])
    assert found.as_report() == {
        "labels": {
            "kitchen": {"train": 1, "val": 1},
            "office": {"train": 1, "val": 0},
            "bedroom": {"train": 2, "val": 1},
            "hallway": {"train": 0, "val": 0},
        },
        "given": 3,
        "covered": 2,
        "stands": True,
    }
    assert "validation covers 2 of the 3 labels" in found.line()


@pytest.mark.parametrize(
    ("val", "stands"), [([9, 9, 9, 9], True), ([9, 9, 9, 0], True), ([9, 9, 0, 0], False), ([40, 0, 0, 0], False)]
)
def test_validation_stands_where_it_shows_most_labels(val: list[int], stands: bool) -> None:
    found = of([80, 80, 80, 80], val)
    assert found.stands == stands
    assert any("chooses no epoch" in warning for warning in found.warnings()) != stands


def test_a_slip_of_the_teacher_is_no_label_to_be_covered() -> None:
    assert of([150, 150, 3, 0], [10, 10, 0, 0]).warnings() == []


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ([300, 0, 0, 0], [30, 0, 0, 0], "calls all pairs 'kitchen': the student will say nothing else"),
        ([280, 8, 8, 0], [30, 2, 2, 0], "are 'kitchen' to the teacher: the student will know one room"),
        ([10, 10, 7, 0], [1, 1, 1, 0], "30 pairs, after curation and gaps, are few"),
        ([200, 100, 8, 0], [20, 10, 1, 0], r"few training pairs of bedroom \(8\)"),
    ],
)
def test_poor_material_is_said_with_what_to_log_next(train: list[int], val: list[int], words: str) -> None:
    warnings = of(train, val).warnings()
    assert any(np.char.count(warning, words.replace("\\", "")) for warning in warnings), warnings
    assert all("\n" not in warning and ("log" in warning or "set" in warning) for warning in warnings)
