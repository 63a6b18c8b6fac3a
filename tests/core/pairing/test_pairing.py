"""Pairing: the optimum, whatever the order of arrival, every message accounted for."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_parts.stamp_streams import Message, approximate_time, by_stamp, random_streams

from edgevl_core.base.waiting import MAX_WAITING_BYTES
from edgevl_core.pairing.pair_matcher import BACK_IN_TIME, DUPLICATE, LATE, UNMATCHED, Dropped, Event, Pair, PairMatcher

pytestmark = pytest.mark.unit

MS = 1_000_000


def feed(matcher: PairMatcher, messages: list[Message]) -> list[Event]:
    events = []
    for number, (stream, stamp) in enumerate(messages):
        events += matcher.push(stream, stamp, number)
    return events + matcher.flush()


def interleaved(a: list[int], b: list[int], rng: random.Random) -> list[Message]:
    queues = [list(a), list(b)]
    order = [0] * len(a) + [1] * len(b)
    rng.shuffle(order)
    return [(stream, queues[stream].pop(0)) for stream in order]


def pairs(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.a_stamp_ns, e.b_stamp_ns) for e in events if isinstance(e, Pair)]


def in_short(events: list[Event]) -> list[tuple]:
    return [(e.a_stamp_ns, e.b_stamp_ns) if isinstance(e, Pair) else (e.stream, e.stamp_ns, e.reason) for e in events]


def brute_force(a: list[int], b: list[int], max_skew: int) -> tuple[int, int]:
    """(most pairs, minus the least total skew among those), by trying every partner of every message."""
    if not a:
        return 0, 0
    best = brute_force(a[1:], b, max_skew)
    for j, stamp in enumerate(b):
        if abs(a[0] - stamp) <= max_skew:
            count, skew = brute_force(a[1:], b[:j] + b[j + 1 :], max_skew)
            best = max(best, (count + 1, skew - abs(a[0] - stamp)))
    return best


stamps = st.lists(st.integers(0, 60), max_size=6, unique=True).map(sorted)
skews = st.sampled_from([0, 1, 2, 5, 10, 30])


@settings(max_examples=150)
@given(stamps, stamps, skews)
def test_most_pairs_then_least_skew(a: list[int], b: list[int], max_skew: int) -> None:
    found = pairs(feed(PairMatcher(max_skew / 1e9), by_stamp(a, b)))
    assert (len(found), -sum(abs(x - y) for x, y in found)) == brute_force(a, b, max_skew)


@settings(max_examples=150)
@given(stamps, stamps, skews, st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing(a: list[int], b: list[int], max_skew: int, rng: random.Random) -> None:
    expected = in_short(feed(PairMatcher(max_skew / 1e9), by_stamp(a, b)))
    assert in_short(feed(PairMatcher(max_skew / 1e9), interleaved(a, b, rng))) == expected


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40)), max_size=25), skews)
def test_every_message_comes_out_once(messages: list[Message], max_skew: int) -> None:
    matcher = PairMatcher(max_skew / 1e9, horizon_s=20e-9, max_pending=3)
    events = feed(matcher, messages)
    items = [item for e in events for item in ((e.a, e.b) if isinstance(e, Pair) else (e.item,))]
    assert sorted(items) == list(range(len(messages)))
    reasons = Counter("paired" if isinstance(e, Pair) else e.reason for e in events)
    assert reasons == matcher.counts
    assert matcher.pending == 0
    for e in events:
        if isinstance(e, Pair):
            assert (messages[e.a], messages[e.b]) == ((0, e.a_stamp_ns), (1, e.b_stamp_ns))
            assert e.stamp_ns == e.a_stamp_ns
            assert e.skew_s * 1e9 == pytest.approx(abs(e.a_stamp_ns - e.b_stamp_ns))
            assert abs(e.a_stamp_ns - e.b_stamp_ns) <= max_skew


@settings(max_examples=100)
@given(stamps, stamps, skews, st.randoms(use_true_random=False))
def test_events_come_in_time_order(a: list[int], b: list[int], max_skew: int, rng: random.Random) -> None:
    events = feed(PairMatcher(max_skew / 1e9), interleaved(a, b, rng))
    times = [min(e.a_stamp_ns, e.b_stamp_ns) if isinstance(e, Pair) else e.stamp_ns for e in events]
    assert times == sorted(times)


def most_pairs(a: list[int], b: list[int], max_skew: int) -> int:
    """Pairing the two earliest whenever they fit gives the most pairs of ascending stamps."""
    i = j = count = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= max_skew:
            i, j, count = i + 1, j + 1, count + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return count


@pytest.mark.parametrize("seed", range(20))
def test_random_drives(seed: int) -> None:
    """The most pairs there are, never fewer than ApproximateTimeSynchronizer, live as offline."""
    a, b, max_skew = random_streams(seed)
    offline = feed(PairMatcher(max_skew / 1e9), by_stamp(a, b))
    assert len(pairs(offline)) == most_pairs(a, b, max_skew)
    assert len(pairs(offline)) >= approximate_time(by_stamp(a, b), max_skew)
    lag_ns = random.Random(seed).choice([0, 10, 100, 900]) * MS
    arrival = sorted([(x, 0, x) for x in a] + [(x + lag_ns, 1, x) for x in b])
    live = feed(PairMatcher(max_skew / 1e9), [(stream, stamp) for _, stream, stamp in arrival])
    assert in_short(live) == in_short(offline)


def test_equal_stamps_pair_at_once() -> None:
    matcher: PairMatcher[str] = PairMatcher(0.02)
    assert [m for stamp in (33, 66) for stream in (0, 1) for m in pairs(matcher.push(stream, stamp * MS, ""))] == [
        (33 * MS, 33 * MS),  # a second moment agrees with the first
        (66 * MS, 66 * MS),
    ]
    assert matcher.push(0, 100 * MS, "a") == []
    [pair] = matcher.push(1, 100 * MS, "b")
    assert (pair.a, pair.b, pair.skew_s) == ("a", "b", 0.0)


def test_zero_skew_is_inclusive() -> None:
    assert pairs(feed(PairMatcher(0.0), by_stamp([10, 20], [10, 21]))) == [(10, 10)]


def test_a_pair_is_given_out_when_the_next_frame_shows_it_final() -> None:
    """30 Hz, depth 5 ms after RGB: the pair comes with the next RGB frame, not after the horizon. The first one too."""
    matcher: PairMatcher[None] = PairMatcher(0.02)
    assert matcher.push(0, 100 * MS, None) == []
    assert matcher.push(1, 105 * MS, None) == []  # an RGB frame at 104 ms could still come
    assert pairs(matcher.push(0, 133 * MS, None)) == [(100 * MS, 105 * MS)]


@settings(max_examples=150)
@given(stamps, stamps, skews, st.randoms(use_true_random=False))
def test_eager_gives_a_pair_with_its_second_message(
    a: list[int], b: list[int], max_skew: int, rng: random.Random
) -> None:
    matcher: PairMatcher[int] = PairMatcher(max_skew / 1e9, eager=True)
    seen: list[int] = []
    for number, (stream, stamp) in enumerate(interleaved(a, b, rng)):
        events = matcher.push(stream, stamp, number)
        assert all(number in (e.a, e.b) for e in events if isinstance(e, Pair))
        seen += [item for e in events for item in ((e.a, e.b) if isinstance(e, Pair) else (e.item,))]
    rest = matcher.flush()
    assert not pairs(rest)
    assert sorted(seen + [e.item for e in rest]) == list(range(len(a) + len(b)))


@settings(max_examples=100)
@given(stamps, st.integers(-4, 4), st.randoms(use_true_random=False))
def test_eager_pairs_are_the_same_at_a_constant_skew(a: list[int], skew: int, rng: random.Random) -> None:
    a = [10 * x for x in a]
    b = [x + skew for x in a]
    found = pairs(feed(PairMatcher(5e-9, eager=True), interleaved(a, b, rng)))
    assert found == list(zip(a, b)) == pairs(feed(PairMatcher(5e-9), by_stamp(a, b)))


def test_a_later_better_partner_is_waited_for() -> None:
    """Greedy would take (0, 9); the optimum drops 0 and takes (10, 9)."""
    assert pairs(feed(PairMatcher(20e-9), by_stamp([0, 10], [9]))) == [(10, 9)]
    assert pairs(feed(PairMatcher(20e-9), by_stamp([0, 10], [9, 21]))) == [(0, 9), (10, 21)]


def test_stamps_that_do_not_advance_are_counted() -> None:
    matcher: PairMatcher[str] = PairMatcher(0.02)
    matcher.push(0, 100 * MS, "first")
    assert matcher.push(0, 90 * MS, "back") == []  # the clock may have been set back: the next one tells
    assert matcher.push(0, 100 * MS, "again") == [
        Dropped(0, 90 * MS, "back", BACK_IN_TIME),
        Dropped(0, 100 * MS, "again", DUPLICATE),
    ]
    assert matcher.counts == {BACK_IN_TIME: 1, DUPLICATE: 1}


def test_a_silent_stream_does_not_hold_the_other_one() -> None:
    matcher: PairMatcher[int] = PairMatcher(0.02, horizon_s=1.0)
    released = []
    for number in range(90):
        released += matcher.push(0, number * 33 * MS, number)
        assert matcher.pending <= 33
    assert [e.item for e in released] == list(range(len(released)))
    assert {e.reason for e in released} == {UNMATCHED}
    late = matcher.push(1, 33 * MS, 0)
    assert [e.reason for e in late] == [LATE]
    assert pairs(matcher.push(1, 89 * 33 * MS, 0)) == [(89 * 33 * MS, 89 * 33 * MS)]


@pytest.mark.parametrize("period", [10, 12])
def test_memory_is_bounded(period: int) -> None:
    """A chain that stays ambiguous for ever and a limit on pending messages are cut, no pair is lost."""
    a = [i * 20 for i in range(500)]
    b = [i * 20 + period for i in range(500)]
    for options in ({"lookahead_s": 200e-9}, {"max_pending": 5}, {"size_of": lambda _: MAX_WAITING_BYTES // 5}):
        matcher: PairMatcher[int] = PairMatcher(19e-9, **options)
        found = []
        for number, (stream, stamp) in enumerate(by_stamp(a, b)):
            found += pairs(matcher.push(stream, stamp, number))
            assert matcher.pending <= 24
        assert len(found + pairs(matcher.flush())) == 500


@pytest.mark.parametrize("size", [MAX_WAITING_BYTES // 3, 2 * MAX_WAITING_BYTES])
def test_large_images_do_not_wait_by_the_dozen(size: int) -> None:
    matcher: PairMatcher[int] = PairMatcher(0.02, size_of=lambda _: size)
    events = []
    for number in range(30):
        events += matcher.push(0, number * 33 * MS, number)
        assert matcher.pending * size <= max(size, MAX_WAITING_BYTES)
    last = 29 * 33 * MS
    events += matcher.push(1, last, 30) + matcher.flush()
    assert pairs(events) == [(last, last)]
    assert len(events) == 30


def test_a_flushed_matcher_starts_anew() -> None:
    matcher: PairMatcher[int] = PairMatcher(0.02)
    assert len(pairs(feed(matcher, [(0, 100 * MS), (1, 100 * MS)]))) == 1
    assert len(pairs(feed(matcher, [(0, 50 * MS), (1, 50 * MS)]))) == 1


@pytest.mark.parametrize("options", [{"max_skew_s": -1.0}, {"max_skew_s": 0.1, "horizon_s": 0.0}])
def test_senseless_parameters_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_skew_s"):
        PairMatcher(**options)
