"""Targets averaged over time: against the plain definition, and what must not mix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_train.data.split import split_pairs
from edgevl_train.data.temporal import smoothed
from edgevl_train.sections import SplitSection, TemporalSection

pytestmark = pytest.mark.unit
NONE = np.zeros(0, np.int64)
SECOND = 10**9


def unit(shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float16)


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 3), st.sampled_from([0.5, 3.0, 100.0]), st.floats(0.1, 1), st.integers(0, 99))
def test_against_the_definition(pairs: int, bags: int, window_s: float, weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, bag = unit((2, pairs, 8), seed), rng.integers(0, bags, pairs)
    stamp_ns = 1_700_000_000 * SECOND + rng.permutation(pairs) * SECOND
    val = np.flatnonzero(rng.random(pairs) < 0.3)
    found = smoothed(targets, stamp_ns, bag, val, TemporalSection(window_s=window_s, weight=weight))
    held = np.isin(np.arange(pairs), val)
    for row in range(pairs):
        near = (bag == bag[row]) & (np.abs(stamp_ns - stamp_ns[row]) < window_s * SECOND) & (held[row] | ~held)
        wanted = (1 - weight) * targets[:, row].astype(float) + weight * targets[0, near].astype(float).mean(0)
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        assert np.allclose(found[:, row], wanted, atol=2e-3)


def test_a_slip_between_right_answers_is_mended_and_nothing_is_made_up() -> None:
    bank = np.eye(2, 8, dtype=np.float16)
    targets = bank[np.array([[0, 0, 1, 0, 0, 1, 1, 1, 1, 1]])]
    targets = np.concatenate([targets, np.zeros_like(targets)])  # a second view that nobody embedded
    section = TemporalSection(window_s=2.5, weight=0.7)
    found = smoothed(targets, np.arange(10) * SECOND, np.zeros(10, int), NONE, section)
    assert (found[0].astype(np.float32) @ bank.T.astype(np.float32)).argmax(1).tolist() == [0] * 5 + [1] * 5
    assert not found[1].any()


def test_off_it_costs_nothing() -> None:
    targets = unit((1, 3, 4), 0)
    assert smoothed(targets, np.arange(3), np.zeros(3, int), NONE, TemporalSection()) is targets


@pytest.mark.parametrize(("by", "gap_s", "window_s"), [("time", 5, 5), ("sequence", 40, 40), ("time", 2, 30)])
def test_no_window_takes_a_validation_pair_into_a_training_target(by: str, gap_s: float, window_s: float) -> None:
    """As long as the gap, as shipped, and longer than it."""
    every_s = 1 if by == "time" else 40  # each pair a sequence of its own
    stamp_ns, bag = 1_700_000_000 * SECOND + np.arange(200) * every_s * SECOND, np.zeros(200, int)
    split = split_pairs(stamp_ns, bag, SplitSection.model_validate({"by": by, "gap_s": gap_s}), seed=0)
    targets, section = unit((1, 200, 8), 0), TemporalSection(window_s=window_s, weight=0.5)
    other = targets.copy()
    other[:, split.val] = unit((1, len(split.val), 8), 1)  # the teacher says something else of the validation pairs
    found, changed = (smoothed(each, stamp_ns, bag, split.val, section) for each in (targets, other))
    assert np.array_equal(found[:, split.train], changed[:, split.train])
    assert np.abs(found[:, split.val].astype(float) - changed[:, split.val]).max() > 0.1


def test_the_smallest_window_is_the_pair_alone() -> None:
    targets = unit((1, 3, 4), 0)
    found = smoothed(targets, np.arange(3), np.zeros(3, int), NONE, TemporalSection(window_s=1e-12, weight=0.5))
    assert np.allclose(found, targets, atol=2e-3)
