"""Each figure against its definition, and what must hold whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgevl_core.bundle.label_bank import LabelBank
from edgevl_train.evaluation.metrics.abstention import abstention_curve
from edgevl_train.evaluation.metrics.angles import angle_statistics
from edgevl_train.evaluation.metrics.confusion import confusion_matrix, per_class
from edgevl_train.evaluation.metrics.retrieval import retrieved_first
from edgevl_train.evaluation.metrics.summary import Pairs, figures
from edgevl_train.evaluation.metrics.unknown import unknown_roc
from edgevl_train.evaluation.metrics.unseen import unseen_words
from edgevl_train.evaluation.predictions import Answers, Embedded
from edgevl_train.evaluation.predictors import Predictor, Reference

pytestmark = pytest.mark.unit
few = settings(max_examples=60)
# Few distinct values: ties are where rank statistics go wrong.
certainties = st.integers(1, 60).flatmap(
    lambda n: arrays(np.float32, n, elements=st.sampled_from(np.linspace(0, 1, 9)))
)


def test_table_by_label() -> None:
    matrix = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 3)
    table = per_class(["a", "b", "c"], {"rgb": matrix})
    assert table["a"] == {"n": 3, "recall": {"rgb": pytest.approx(2 / 3)}, "precision": {"rgb": 1.0}}
    assert table["b"]["precision"]["rgb"] == 0.5
    assert table["c"] == {"n": 0, "recall": {"rgb": None}, "precision": {"rgb": None}}


def test_abstention_curve_of_four_pairs() -> None:
    curve = abstention_curve(np.array([0.9, 0.5, 0.7, 0.5]), np.array([True, True, False, False]))
    assert curve["threshold"] == [0.9, 0.7, 0.5]
    assert curve["coverage"] == [0.25, 0.5, 1.0]
    assert curve["accuracy"] == [1.0, 0.5, 0.5]
    assert curve["area"] == pytest.approx(0.25 * 1 + 0.25 * 0.5 + 0.5 * 0.5)


@few
@given(certainties, st.randoms(use_true_random=False))
def test_abstention_curve_is_of_the_pairs_not_of_their_order(certainty: np.ndarray, random: object) -> None:
    rng = np.random.default_rng(random.randrange(1 << 30))
    right = rng.random(len(certainty)) < 0.6
    curve = abstention_curve(certainty, right)
    order = rng.permutation(len(certainty))
    assert abstention_curve(certainty[order], right[order]) == curve
    assert curve["coverage"] == sorted(curve["coverage"])
    assert (curve["coverage"][-1], curve["accuracy"][-1]) == (1.0, pytest.approx(right.mean()))
    assert 0 <= curve["area"] <= 1
    for threshold, coverage, accuracy in zip(curve["threshold"], curve["coverage"], curve["accuracy"], strict=True):
        answered = certainty >= threshold
        assert coverage == pytest.approx(answered.mean())
        assert accuracy == pytest.approx(right[answered].mean())


def test_certainty_that_knows_beats_one_that_does_not() -> None:
    right = np.arange(1000) % 4 != 0
    blind = abstention_curve(np.full(1000, 0.5), right)
    knowing = abstention_curve(np.where(right, 0.9, 0.1) + np.arange(1000) * 1e-5, right)
    assert blind["area"] == pytest.approx(0.75)
    assert knowing["area"] > 0.95
    assert len(knowing["coverage"]) == 51


@few
@given(certainties, certainties)
def test_roc_of_unknown_against_its_definition(known: np.ndarray, unknown: np.ndarray) -> None:
    roc = unknown_roc(known, unknown)
    less, same = unknown[:, None] < known, unknown[:, None] == known
    assert roc["auroc"] == pytest.approx((less + same / 2).mean())
    assert (roc["false_unknown"][0], roc["caught"][0]) == (0.0, pytest.approx((unknown < known.min()).mean()))
    assert (roc["false_unknown"][-1], roc["caught"][-1]) == (1.0, 1.0)
    assert roc["false_unknown"] == sorted(roc["false_unknown"])
    assert roc["caught"] == sorted(roc["caught"])
    allowed = [t for t in (*known, *unknown, np.inf) if (known < t).mean() <= 0.1]
    assert roc["caught_at_10_percent"] == pytest.approx(max((unknown < t).mean() for t in allowed if t in known))


def test_roc_of_unknown_at_its_ends() -> None:
    sure, unsure = np.linspace(0.8, 1, 50), np.linspace(0.1, 0.3, 20)
    assert unknown_roc(sure, unsure)["auroc"] == 1
    assert unknown_roc(sure, unsure)["caught_at_10_percent"] == 1
    assert unknown_roc(unsure, sure)["auroc"] == 0
    assert unknown_roc(sure, sure)["auroc"] == pytest.approx(0.5)


def test_angles_of_known_embeddings() -> None:
    degrees = np.array([[60.0, 90.0, 80.0], [40.0, 20.0, 90.0]])
    found = angle_statistics(np.cos(np.radians(degrees)).astype(np.float32), np.array([0, 0]))
    assert found["right"]["mean"] == pytest.approx(50, abs=1e-4)
    assert found["right"]["std"] == pytest.approx(10, abs=1e-4)
    assert found["wrong"]["mean"] == pytest.approx(50, abs=1e-4)  # 80 and 20
    assert found["wrong"]["deciles"][4] == pytest.approx(50, abs=1e-4)
    assert sum(found["wrong"]["histogram"]["counts"]) == 2
    assert set(angle_statistics(np.ones((2, 1), np.float32), np.array([0, 0]))) == {"right"}


@few
@given(arrays(np.float32, (7, 4), elements=st.floats(-1.0625, 1.0625, width=32)))
def test_angles_are_between_0_and_180(cosines: np.ndarray) -> None:
    for found in angle_statistics(cosines, np.arange(7) % 4).values():
        assert 0 <= found["deciles"][0] <= found["deciles"][-1] <= 180
        assert found["deciles"] == sorted(found["deciles"])
        histogram = found["histogram"]
        assert sum(histogram["counts"]) == 7
        assert 0 <= histogram["start"] <= histogram["start"] + len(histogram["counts"]) <= 180


def test_retrieval_finds_its_own_moment_and_chance_is_counted() -> None:
    gallery = np.eye(10, dtype=np.float32)
    stamps, bag = np.arange(10) * 500_000_000, np.array([0] * 5 + [1] * 5)
    own, chance = retrieved_first(gallery, gallery, stamps, bag, 0.5)
    assert own == 1
    assert chance == pytest.approx(2 * (5 + 2 * 4) / 100)  # per bag: itself, and each neighbour both ways
    assert retrieved_first(gallery[::-1], gallery, stamps, bag, 0.5)[0] == 0  # rows 4 and 5: near, another bag
    late = np.roll(gallery, 1, axis=0)
    assert retrieved_first(late, gallery, stamps, np.zeros(10), 0.5)[0] == pytest.approx(0.9)
    assert retrieved_first(late, gallery, stamps, np.zeros(10), 0.4)[0] == 0


def test_retrieval_in_blocks_is_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gallery, queries = rng.normal(size=(2, 50, 8)).astype(np.float32)
    arguments = (queries, gallery, np.arange(50) * 10**8, np.zeros(50), 1.0)
    whole = retrieved_first(*arguments)
    monkeypatch.setattr("edgevl_train.evaluation.metrics.retrieval._BLOCK", 7)
    assert retrieved_first(*arguments) == whole


def test_words_that_adaptation_never_saw_are_judged_apart() -> None:
    target = np.array([0, 0, 1, 1, 2, 2, -1])
    rgb = answers_of([0, 0, 1, 1, 2, 0, 2])
    depth = answers_of([0, 0, 1, 1, 0, 0, 2])
    found = {"rgb": rgb, "depth": depth}
    # 3 of 300 pairs were called bathroom: slips of the teacher.
    seen = unseen_words(["kitchen", "office", "bathroom"], {0: 200, 1: 97, 2: 3}, found, target, target.clip(0))
    assert seen == {
        "unseen": {"labels": ["bathroom"], "frames": 2, "top1": {"rgb": 0.5, "depth": 0.0}, "teacher_top1": 1.0}
    }
    assert unseen_words(["kitchen", "office"], {0: 200, 1: 97}, found, target.clip(0, 1), None) == {}
    without = unseen_words(["kitchen", "office", "bathroom"], {0: 200, 1: 97}, found, target, None)
    assert without["unseen"]["teacher_top1"] is None


def test_the_teacher_chooses_among_the_labels_that_the_model_chooses_from() -> None:
    """An office that looks to it more like the bath that was left out: of unseen words both are asked the same."""
    bank = LabelBank(("kitchen", "bath", "office"), ((), (), ()), ((), (), ()), np.eye(3, dtype=np.float32))
    seen = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], 10)]
    seen[20:] = np.array([0.1, 0.62, 0.56]) / np.linalg.norm([0.1, 0.62, 0.56])
    rooms = ["kitchen"] * 10 + ["bath"] * 10 + ["office"] * 10
    pairs = Pairs(np.arange(30), np.zeros(30, np.int64), rooms, np.ones(30), seen)
    model = Predictor("m", lambda pairs: None, bank, 20.0, adapted_to={"kitchen": 500, "bath": 500, "office": 0})
    embedded = Embedded(seen, seen, np.ones((2, 30), np.float32))
    numbers = figures(model, pairs, embedded, Reference(lambda pairs: seen, bank), leave_out=["bath"])
    assert numbers["unseen"]["labels"] == ["office"]
    assert numbers["unseen"]["top1"]["rgb"] == numbers["unseen"]["teacher_top1"] == numbers["teacher_agreement"]["rgb"]
    assert numbers["unseen"]["teacher_top1"] == 1
    assert numbers["unknown"]["frames"] == {"known": 20, "unknown": 10}


def answers_of(label: list[int]) -> Answers:
    sure = np.ones(len(label), np.float32)
    return Answers(np.array(label), sure, sure, sure > 0)
