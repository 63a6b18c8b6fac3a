"""Deploy or not: by agreement with the teacher, here and in earlier homes."""

import dataclasses

import numpy as np
import pytest

from edgevl_core.bundle.fusion import DEFAULT_TRUST
from edgevl_train.data.run_data import RunData
from edgevl_train.evaluation.decision import Decision, Judged, decide
from tests.train.conftest import KINDS

pytestmark = pytest.mark.unit
LABELS = [f"room {kind}" for kind in range(KINDS)]


def right_in(data: RunData, share: float) -> Judged:
    """A student that gives the teacher's answer on the first ``share`` of the pictures, a neighbour's on the others."""

    def embed(images: np.ndarray) -> np.ndarray:
        rows = np.arange(len(images))
        answer = data.pseudo_label[data.val]
        return data.bank[np.where(rows < share * len(rows), answer, (answer + 1) % KINDS)]

    return Judged(embed, DEFAULT_TRUST)


def judged(data: RunData, adapted: float, base: float | None = None, doubts: tuple[str, ...] = ()) -> Decision:
    before = None if base is None else right_in(data, base)
    teacher = right_in(data, 0.5).embed
    return decide(data, LABELS, right_in(data, adapted), before, teacher, doubts)


def test_a_first_student_is_worth_it_from_seven_tenths_on(run_data: RunData) -> None:
    good, poor = judged(run_data, 0.9), judged(run_data, 0.6)
    assert (good.deploy, poor.deploy) == (True, False)
    assert good.sentence == "deploy: it agrees with the teacher on 91% from RGB, 91% from depth"
    assert "do not deploy" in poor.sentence
    assert sum(row["pairs"] for name, row in good.rows.items() if name != "all") == good.rows["all"]["pairs"] == 64
    assert good.rows["all"]["teacher_dim"] == pytest.approx(0.5)
    assert "base" not in good.rows["all"]


def test_an_adapted_student_must_not_be_worse_here(run_data: RunData) -> None:
    assert judged(run_data, 0.95, base=0.8).deploy
    worse = judged(run_data, 0.8, base=0.95)
    assert not worse.deploy
    assert "keep the student it began with: in this home RGB 95% -> 81%" in worse.sentence


def test_what_earlier_homes_lose_counts(run_data: RunData) -> None:
    """Both get better here; the replayed pairs are judged by the same stand-in, which is worse on its last ones."""
    earlier = dataclasses.replace(run_data, val=run_data.val)
    data = dataclasses.replace(run_data, replay=(earlier,))
    found = judged(data, 0.9, base=0.8)
    assert found.deploy
    assert found.rows["earlier homes"]["pairs"] == 64
    assert "earlier homes lose at most 0.0%" in found.sentence
    assert "was not measured" in judged(run_data, 0.9, base=0.8).sentence


@pytest.mark.parametrize(("now", "deploy"), [(0.99, True), (0.96, True), (0.90, False)])
def test_a_loss_that_so_few_pairs_leave_to_chance_is_none(run_data: RunData, now: float, deploy: bool) -> None:
    """Earlier homes lose nothing, one of 64 pairs, and four of them; this home gains."""
    earlier = dataclasses.replace(run_data, val=run_data.val)
    data = dataclasses.replace(run_data, replay=(earlier,))
    base, after = right_in(data, 0.99), right_in(data, now)
    calls = {"base": 0, "after": 0}

    def better_here(who: str, student: Judged, first: Judged) -> Judged:
        def embed(images: np.ndarray) -> np.ndarray:
            calls[who] += 1
            return (first if calls[who] <= 3 else student).embed(
                images
            )  # depth, RGB and dim RGB of this home come first

        return Judged(embed, DEFAULT_TRUST)

    students = better_here("after", after, right_in(data, 1.0)), better_here("base", base, right_in(data, 0.8))
    assert decide(data, LABELS, *students, right_in(data, 0.5).embed, ()).deploy == deploy


def test_doubt_wins(run_data: RunData) -> None:
    found = judged(run_data, 1.0, doubts=("nothing is known",))
    assert (found.deploy, found.sentence) == (False, "do not deploy it unseen: nothing is known")
