"""Wrong stamps and clocks that are set: what is lost, what is said, and that the other pairs are what they were."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.pairing.clock import OUTLIER, StampCheck
from edgevl_core.pairing.frames import DEPTH, RGB, FrameSource, Received
from edgevl_core.pairing.pair_matcher import Dropped, Event, Pair, PairMatcher

pytestmark = pytest.mark.unit

S = 1_000_000_000
START = 1_700_000_000 * S
PERIOD = S // 10
DAY_NS = 86_400_000_000_000
LATER_YEAR_2038 = (2**31 - 1) * S
STEPS_NS = st.sampled_from([0, 0, S // 1000, S // 30, PERIOD, 2 * S, -S // 30, -5 * S, 100 * S])


def drive(first_ns: int, pairs: int, skew_ns: int = 0) -> list[tuple[int, int]]:
    """(stream, stamp) of a drive at 10 Hz, RGB first."""
    return [
        message
        for number in range(pairs)
        for message in ((0, first_ns + number * PERIOD), (1, first_ns + number * PERIOD + skew_ns))
    ]


def run(messages: list[tuple[int, int]], **options: float) -> tuple[list[Event[int]], PairMatcher[int]]:
    matcher: PairMatcher[int] = PairMatcher(0.02, **options)
    events = [e for number, (stream, stamp) in enumerate(messages) for e in matcher.push(stream, stamp, number)]
    return events + matcher.flush(), matcher


def stamps_of_pairs(events: list[Event[int]]) -> list[tuple[int, int]]:
    return [(e.a_stamp_ns, e.b_stamp_ns) for e in events if isinstance(e, Pair)]


def whole(first_ns: int, pairs: int, skew_ns: int = 0) -> list[tuple[int, int]]:
    return [(first_ns + n * PERIOD, first_ns + n * PERIOD + skew_ns) for n in range(pairs)]


@pytest.mark.parametrize("wrong_ns", [LATER_YEAR_2038, 0, START - 3600 * S, START + 3600 * S, START - 10 * S, -5 * S])
@pytest.mark.parametrize("at", [0, 1, 37, 98])
@pytest.mark.parametrize("eager", [False, True])
def test_one_image_with_a_wrong_stamp_costs_its_own_pair(wrong_ns: int, at: int, eager: bool) -> None:
    for stream in (0, 1):
        if at == 0 and 0 < START - wrong_ns <= DAY_NS:
            continue  # a first image that is so little early is one before a pause
        messages = drive(START, 100, 3_000_000)
        messages[2 * at + stream] = (stream, wrong_ns)
        events, matcher = run(messages, eager=eager)
        right = whole(START, 100, 3_000_000)
        assert stamps_of_pairs(events) == right[:at] + right[at + 1 :]
        assert [(e.stream, e.stamp_ns) for e in events if isinstance(e, Dropped) and e.reason == OUTLIER] == [
            (stream, wrong_ns)
        ]
        assert matcher.time_losses() == [
            f"{('rgb', 'depth')[stream]}: 1 images left out, their stamps lie far from those before and after"
        ]


@pytest.mark.parametrize(
    "wrong_ns", [LATER_YEAR_2038, 0, START - 3600 * S, START + 3600 * S, START - 10 * S, START + 20 * S]
)
def test_one_pair_with_a_wrong_stamp_is_left_out(wrong_ns: int) -> None:
    messages = drive(START, 100)
    messages[74:76] = [(0, wrong_ns), (1, wrong_ns)]
    events, matcher = run(messages)
    assert stamps_of_pairs(events) == [pair for pair in whole(START, 100) if pair[0] != START + 37 * PERIOD]
    assert (matcher.counts[OUTLIER], matcher.jump_count) == (2, 0)


@settings(max_examples=200)
@given(
    st.one_of(st.integers(-(2**30), -86_401), st.integers(3, 2**31)).map(lambda s: START + s * S),
    st.integers(-15_000_000, 15_000_000),
    st.integers(-15_000_000, 15_000_000),
    st.sampled_from([4, 20, 60]),
)
def test_a_wrong_first_pair_is_left_out(wrong_ns: int, wrong_skew_ns: int, skew_ns: int, pairs: int) -> None:
    messages = [(0, wrong_ns), (1, wrong_ns + wrong_skew_ns), *drive(START, pairs, skew_ns)]
    events, matcher = run(messages)
    assert stamps_of_pairs(events) == whole(START, pairs, skew_ns)
    assert (matcher.counts[OUTLIER], matcher.jump_count, matcher.pauses()) == (2, 0, [])
    assert [said.partition(",")[0] for said in matcher.time_losses()] == [
        "rgb: 1 images left out",
        "depth: 1 images left out",
    ]


def test_a_first_pair_that_a_second_one_follows_is_believed() -> None:
    events, matcher = run(drive(START + 3600 * S, 2) + drive(START, 50))
    assert stamps_of_pairs(events) == whole(START + 3600 * S, 2) + whole(START, 50)
    assert (matcher.counts[OUTLIER], matcher.jump_count) == (0, 1)


@pytest.mark.parametrize("pause_s", [61, 3600, 86_000])
def test_a_first_pair_before_a_pause_is_kept(pause_s: int) -> None:
    """A robot that stands at its dock, or a collection whose first scene has one picture."""
    events, matcher = run(drive(START, 1) + drive(START + pause_s * S, 20))
    assert stamps_of_pairs(events) == whole(START, 1) + whole(START + pause_s * S, 20)
    assert matcher.counts[OUTLIER] == 0


@pytest.mark.parametrize("later_s", [3, 59, 61, 3600])
def test_two_pairs_alone_are_both_believed(later_s: int) -> None:
    events, _ = run(drive(START, 1) + drive(START + later_s * S, 1))
    assert stamps_of_pairs(events) == [(START, START), (START + later_s * S,) * 2]


@pytest.mark.parametrize("ahead_s", [3, 10, 59])
def test_a_stamp_a_little_ahead_costs_little_where_frames_come_at_once(ahead_s: int) -> None:
    """It is taken for a pause at first; the stream that goes back then begins anew."""
    messages = drive(START, 100)
    messages[74] = (0, messages[74][1] + ahead_s * S)
    events, _ = run(messages, eager=True)
    right = set(whole(START, 100)) - {(START + 37 * PERIOD,) * 2}
    assert len(right - set(stamps_of_pairs(events))) <= 2


@pytest.mark.parametrize("back_s", [3, 60, 3600, 1_700_000_000])
@pytest.mark.parametrize("skew_ns", [0, 4_000_000])
@pytest.mark.parametrize("eager", [False, True])
def test_a_clock_set_back_costs_nothing(back_s: int, skew_ns: int, eager: bool) -> None:
    again = START + 30 * PERIOD - back_s * S
    events, matcher = run(drive(START, 30, skew_ns) + drive(again, 63, skew_ns), eager=eager)
    assert stamps_of_pairs(events) == whole(START, 30, skew_ns) + whole(again, 63, skew_ns)
    assert matcher.jump_count == 1
    [said] = matcher.time_losses()
    assert said.startswith("the stamps go back by ")
    assert "2023-11-14 22:13:22 UTC" in said
    assert matcher.pauses() == []


@settings(max_examples=200)
@given(
    st.integers(250, 4000).map(lambda ms: ms * 1_000_000),
    st.integers(3, 40),
    st.integers(-15_000_000, 15_000_000),
    st.booleans(),
)
def test_a_clock_set_back_by_little_costs_nothing(back_ns: int, pairs: int, skew_ns: int, eager: bool) -> None:
    """Within the horizon, too: stamps that run on from an earlier moment are no late ones."""
    back_ns = min(back_ns, (pairs - 1) * PERIOD)
    again = START + pairs * PERIOD - back_ns
    events, matcher = run(drive(START, pairs, skew_ns) + drive(again, 63, skew_ns), eager=eager)
    if back_ns > 2 * PERIOD:
        assert stamps_of_pairs(events) == whole(START, pairs, skew_ns) + whole(again, 63, skew_ns)
        assert [said.partition(" by ")[0] for said in matcher.time_losses()] == ["the stamps go back"]


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("eager", [False, True])
def test_a_clock_set_back_by_little_where_depth_lags(lag: int, eager: bool) -> None:
    """Both streams' images that were on their way are lost, not the span."""
    messages = drive(START, 30) + drive(START + 30 * PERIOD - 1_550_000_000, 63)
    rgb, depth = ([message for message in messages if message[0] == stream] for stream in (0, 1))
    arrival = rgb[:lag] + [message for both in zip(rgb[lag:], depth) for message in both] + depth[-lag:]
    events, _ = run(arrival, eager=eager)
    assert len(stamps_of_pairs(events)) >= 93 - 2 * lag - 1


@pytest.mark.parametrize("late_by", [1, 2, 5])
def test_a_message_that_comes_late_is_no_clock_set_back(late_by: int) -> None:
    messages = drive(START, 30)
    messages[22 + 2 * late_by : 22 + 2 * late_by] = messages[20:22]
    del messages[20:22]
    events, matcher = run(messages)
    assert len(stamps_of_pairs(events)) == 29
    assert (matcher.counts["back_in_time"], matcher.jump_count) == (2, 0)


@pytest.mark.parametrize("ahead_s", [3, 61, 3600, 1_000_000_000])
def test_a_clock_set_forward_costs_nothing(ahead_s: int) -> None:
    later = START + 30 * PERIOD + ahead_s * S
    events, matcher = run(drive(START, 30) + drive(later, 63))
    assert stamps_of_pairs(events) == whole(START, 30) + whole(later, 63)
    assert matcher.time_losses() == []
    assert len(matcher.pauses()) == (1 if ahead_s > 60 else 0)
    assert all("the stamps go on" in said for said in matcher.pauses())


def test_a_recording_that_is_looped() -> None:
    events, matcher = run(drive(START, 40) * 5)
    assert stamps_of_pairs(events) == whole(START, 40) * 5
    assert matcher.jump_count == 4
    assert len(matcher.time_losses()) == 4
    assert matcher.time_losses()[-1] == "and so on, 1 times more"


@pytest.mark.parametrize("pause_s", [5, 61, 300, 40_000])
def test_pairs_that_are_few_and_far_between_are_all_kept(pause_s: int) -> None:
    messages = [(stream, START + number * pause_s * S) for number in range(20) for stream in (0, 1)]
    assert len(stamps_of_pairs(run(messages)[0])) == 20


def test_a_message_of_the_old_time_that_comes_late_does_no_harm() -> None:
    """Depth lags behind RGB by three messages when the clock goes back."""
    rgb = [stamp for stream, stamp in drive(START, 30) + drive(START - 3600 * S, 30) if stream == 0]
    messages = [(0, stamp) for stamp in rgb[:3]]
    for number, stamp in enumerate(rgb[3:]):
        messages += [(1, rgb[number]), (0, stamp)]
    messages += [(1, stamp) for stamp in rgb[-3:]]
    events, _ = run(messages)
    assert len(stamps_of_pairs(events)) >= 60 - 4


def test_two_clocks_are_no_jump() -> None:
    """RGB by the host's clock, depth by the device's: nothing pairs, and pairing does not begin anew all the time."""
    messages = [m for n in range(50) for m in ((0, START + n * PERIOD), (1, 5 * S + n * PERIOD))]
    for arrival in (messages, messages[1:]):
        events, matcher = run(arrival)
        assert stamps_of_pairs(events) == []
        assert matcher.jump_count == 0


def test_images_with_the_same_stamp_are_said() -> None:
    events, matcher = run([(stream, 0) for _ in range(20) for stream in (0, 1)])
    assert len(stamps_of_pairs(events)) == 1
    assert [said.partition(":")[2] for said in matcher.time_losses()] == [
        " stamps are 0: stamps must come from the camera, one per image; are two drivers on this topic?"
    ] * 2


def test_stamp_check() -> None:
    check = StampCheck()
    assert check.problem() == ""
    for number in range(50):
        check.add(START + number // 5 * S)
    assert check.problem().startswith("40 of 49 stamps do not advance: ")
    for number in range(60):
        check.add(START + 100 * S + number * PERIOD)
    assert check.problem() == ""
    check.add(0)  # one clock set back
    assert check.problem() == ""


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 400).map(lambda t: t * S)), max_size=40),
    st.booleans(),
)
def test_every_message_comes_out_once(messages: list[tuple[int, int]], eager: bool) -> None:
    events, matcher = run(messages, eager=eager)
    items = [item for e in events for item in ((e.a, e.b) if isinstance(e, Pair) else (e.item,))]
    assert sorted(items) == list(range(len(messages)))
    assert Counter("paired" if isinstance(e, Pair) else e.reason for e in events) == matcher.counts
    assert matcher.pending == 0


@pytest.mark.parametrize("wrong_ns", [LATER_YEAR_2038, 0, START + 10 * S])
def test_frames_go_on_after_a_wrong_stamp_and_a_clock_set_back(wrong_ns: int) -> None:
    source = FrameSource(True, True, 0.02, 10.0)
    messages = [*drive(START, 20), (0, wrong_ns), (1, wrong_ns), *drive(START + 2 * S, 20), *drive(START - 900 * S, 20)]
    frames = []
    for number, (stream, stamp) in enumerate(messages):
        frames += source.push((RGB, DEPTH)[stream], Received(stamp, b"", 0.1 * number))
    answered = [frame.lead.stamp_ns for frame in frames]
    right = [pair[0] for first, count in ((START, 40), (START - 900 * S, 20)) for pair in whole(first, count)]
    assert [stamp for stamp in answered if stamp != wrong_ns] == right
    total = sum(count for name, count in source.counts.items() if name != "pairs")
    assert 2 * source.counts["pairs"] + total + source.waiting == len(messages)


def test_images_that_were_held_back_are_two_frames_at_once() -> None:
    """Depth from far ahead, with RGB a second later: what was held back is paired when the next pair is whole."""
    source = FrameSource(True, True, 0.02, 10.0)
    messages = [(RGB, 666), (RGB, 699), (DEPTH, 2731), (RGB, 2732), (RGB, 2764), (DEPTH, 2764)]
    frames = [source.push(stream, Received(stamp * S // 1000, b"", 0.1)) for stream, stamp in messages]
    assert [[frame.lead.stamp_ns * 1000 // S for frame in each] for each in frames][-1] == [2732, 2764]
    assert sum(map(len, frames)) == source.frames == 2


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 1), STEPS_NS, st.floats(0, 0.4)), max_size=25), st.booleans())
def test_every_frame_that_is_counted_is_given_out(steps: list[tuple[int, int, float]], silent: bool) -> None:
    source, stamp, now_s, given_out = FrameSource(True, True, 0.02, 0.5 if silent else 1e9), START, 0.0, 0
    for stream, step, wait_s in steps:
        stamp, now_s = stamp + step, now_s + wait_s
        given_out += len(source.push(stream, Received(stamp, b"", now_s)))
    assert given_out == source.frames
    total = sum(count for name, count in source.counts.items() if name != "pairs")
    assert 2 * source.counts["pairs"] + total + source.waiting == len(steps)


def test_a_stream_that_ends_after_a_pause_keeps_its_last_pair() -> None:
    messages = [*drive(START, 10), *((stream, START + 60 * S) for stream in (0, 1))]
    messages += [(1, START + 60 * S + n * PERIOD) for n in range(1, 50)]
    events, _ = run(messages)
    assert stamps_of_pairs(events) == [*whole(START, 10), (START + 60 * S, START + 60 * S)]
