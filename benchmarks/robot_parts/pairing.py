"""Pairing: how many of twenty random streams' messages find each other, against the peer; and how fast."""

import time

from edgevl_core.pairing.pair_matcher import Pair, PairMatcher
from robot_parts.rows import Row
from robot_parts.stamp_streams import MS, approximate_time, by_stamp, random_streams

STREAMS = 20
PAIRS, PERIOD_NS = 100_000, 33_333_333


def measure() -> list[Row]:
    """Counts on the streams of the tests; throughput of two cameras at 30 Hz, depth 5 ms after RGB."""
    ours, theirs, fewer = 0, 0, 0
    for seed in range(STREAMS):
        a, b, max_skew = random_streams(seed)
        found = _pairs(by_stamp(a, b), max_skew / 1e9)
        peer = approximate_time(by_stamp(a, b), max_skew)
        ours, theirs, fewer = ours + found, theirs + peer, fewer + (found < peer)
    stamps = [k * PERIOD_NS for k in range(PAIRS)]
    messages = by_stamp(stamps, [stamp + 5 * MS for stamp in stamps])
    begin_s = time.perf_counter()
    found = _pairs(messages, 0.02)
    seconds = time.perf_counter() - begin_s
    if found != PAIRS:
        raise RuntimeError(f"{found} of {PAIRS} pairs found")
    return [
        Row("pairing", f"pairs of {STREAMS} random streams", ours),
        Row("pairing", "pairs of ApproximateTimeSynchronizer", theirs),
        Row("pairing", "streams with fewer pairs than it", fewer, most=0),
        Row("pairing", "throughput", PAIRS / seconds, "pairs/s"),
    ]


def _pairs(messages: list[tuple[int, int]], max_skew_s: float) -> int:
    matcher: PairMatcher[None] = PairMatcher(max_skew_s)
    events = [event for stream, stamp in messages for event in matcher.push(stream, stamp, None)]
    return sum(isinstance(event, Pair) for event in events + matcher.flush())
