"""Smoothing over time and hysteresis: properties, over any stamps."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.classify.smoothing import Smoother

pytestmark = pytest.mark.unit
MS = 1_000_000

gaps_ms = st.lists(st.integers(1, 1999), min_size=1, max_size=40)
weights = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


def distribution(values) -> np.ndarray:
    array = np.asarray(values, dtype=np.float32)
    return array / array.sum()


def stamps_ns(gaps) -> np.ndarray:
    return 1_700_000_000_000_000_000 + np.concatenate([[0], np.cumsum(gaps)]) * MS


def run(smoother, gaps, rows):
    return [smoother.update(int(stamp), row) for stamp, row in zip(stamps_ns(gaps), rows)]


@given(gaps_ms, weights, st.floats(0, 10), st.floats(0, 1))
def test_a_constant_input_comes_out_as_it_is(gaps, values, smoothing_s, hysteresis):
    constant = distribution(values)
    for smoothed, index in run(Smoother(smoothing_s, hysteresis), gaps, [constant] * (len(gaps) + 1)):
        np.testing.assert_allclose(smoothed, constant, atol=1e-6)
        assert index == constant.argmax()


@given(gaps_ms, st.lists(weights, min_size=41, max_size=41))
def test_switched_off_each_frame_speaks_for_itself(gaps, rows):
    rows = [distribution(row) for row in rows]
    for (smoothed, index), row in zip(run(Smoother(), gaps, rows), rows):
        np.testing.assert_allclose(smoothed, row, atol=1e-7)
        assert smoothed[index] == smoothed.max()


@given(gaps_ms, st.lists(weights, min_size=41, max_size=41), st.floats(0.01, 10))
def test_what_comes_out_is_a_distribution_between_the_inputs(gaps, rows, smoothing_s):
    rows = [distribution(row) for row in rows][: len(gaps) + 1]
    low, high = np.min(rows, axis=0) - 1e-5, np.max(rows, axis=0) + 1e-5
    for smoothed, _ in run(Smoother(smoothing_s), gaps, rows):
        assert smoothed.dtype == np.float32
        assert smoothed.sum() == pytest.approx(1, abs=1e-4)
        assert ((low <= smoothed) & (smoothed <= high)).all()


@given(gaps_ms, st.floats(0.05, 5))
def test_time_counts_and_not_the_number_of_frames(gaps, smoothing_s):
    before, after = distribution([8, 1, 1]), distribution([1, 1, 8])
    many = run(Smoother(smoothing_s), gaps, [before] + [after] * len(gaps))[-1][0]
    elapsed_s = sum(gaps) / 1e3
    expected = after + (before - after) * np.exp(-elapsed_s / smoothing_s)
    np.testing.assert_allclose(many, expected, atol=1e-5)


def test_the_time_constant_is_what_it_says():
    smoother = Smoother(smoothing_s=0.5)
    smoother.update(0, np.array([1, 0], np.float32))
    smoothed, index = smoother.update(500 * MS, np.array([0, 1], np.float32))
    assert smoothed[1] == pytest.approx(1 - np.exp(-1))
    assert index == 1


@given(gaps_ms, st.lists(st.floats(0.4, 0.6), min_size=41, max_size=41), st.floats(0, 2))
def test_at_a_boundary_the_label_never_flips(gaps, shares, smoothing_s):
    rows = [np.array([share, 1 - share], np.float32) for share in shares]  # leads of 0.2 at most
    indices = [index for _, index in run(Smoother(smoothing_s, hysteresis=0.21), gaps, rows)]
    assert len(set(indices)) == 1


@given(gaps_ms, st.lists(weights, min_size=41, max_size=41), st.floats(0, 2), st.floats(0, 0.5))
def test_a_label_only_changes_to_one_that_leads(gaps, rows, smoothing_s, hysteresis):
    answers = run(Smoother(smoothing_s, hysteresis), gaps, [distribution(row) for row in rows])
    for (_, old), (smoothed, new) in pairwise(answers):
        if new != old:
            assert smoothed[new] == smoothed.max()
            assert smoothed[new] - smoothed[old] > hysteresis
        else:
            assert smoothed.max() - smoothed[new] <= np.float32(hysteresis) + 1e-6


@pytest.mark.parametrize("gap_ms", [2001, 0, -100])
def test_a_gap_or_time_that_goes_back_begins_anew(gap_ms):
    smoother = Smoother(smoothing_s=10, hysteresis=0.5, reset_after_s=2.0)
    first, second = distribution([8, 2]), distribution([4, 6])
    smoother.update(10_000 * MS, first)
    smoothed, index = smoother.update((10_000 + gap_ms) * MS, second)
    np.testing.assert_array_equal(smoothed, second)
    assert index == 1


def test_reset_forgets_also_how_many_labels_there_were():
    smoother = Smoother(smoothing_s=10, hysteresis=0.5)
    smoother.update(0, distribution([8, 2]))
    smoother.reset()
    smoothed, index = smoother.update(100 * MS, distribution([1, 2, 3]))
    assert (len(smoothed), index) == (3, 2)


def test_inputs_are_left_as_they_are():
    smoother, row = Smoother(smoothing_s=1), distribution([8, 2])
    kept = row.copy()
    smoother.update(0, row)
    smoother.update(100 * MS, distribution([2, 8]))
    np.testing.assert_array_equal(row, kept)


@pytest.mark.parametrize("values", [(-0.1, 0, 1), (0, 1.5, 1), (0, 0, 0), (float("nan"), 0, 1)])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(UserError, match="accepted are"):
        Smoother(*values)
