"""Two streams of stamps as cameras make them, and the peer that pairs them: for the pairing tests and benchmarks."""

import random

MS = 1_000_000
Message = tuple[int, int]  # stream, stamp (ns)


def by_stamp(a: list[int], b: list[int]) -> list[Message]:
    """Two streams as one, in the order of time."""
    return sorted([(0, x) for x in a] + [(1, x) for x in b], key=lambda message: message[1])


def approximate_time(messages: list[Message], slop: int, queue_size: int = 10) -> int:
    """Pairs of message_filters' ApproximateTimeSynchronizer: greedy on arrival, strictly within slop."""
    queues: tuple[set[int], set[int]] = (set(), set())
    count = 0
    for stream, stamp in messages:
        queues[stream].add(stamp)
        if len(queues[stream]) > queue_size:
            queues[stream].remove(min(queues[stream]))
        near = [other for other in queues[1 - stream] if abs(other - stamp) < slop]
        if near and stamp in queues[stream]:
            queues[stream].remove(stamp)
            queues[1 - stream].remove(min(near, key=lambda other: abs(other - stamp)))
            count += 1
    return count


def camera(rng: random.Random, rate_hz: float, offset_ns: float) -> list[int]:
    """8 s of stamps with jitter, drops and a few clock steps forward, ascending."""
    jitter_ns, drop = rng.choice([0, MS, 4 * MS]), rng.choice([0.0, 0.05, 0.3])
    at, out = offset_ns, []
    while at < 8_000 * MS:
        stamp = int(at + rng.gauss(0, jitter_ns))
        if rng.random() >= drop and stamp > (out[-1] if out else 0):
            out.append(stamp)
        at += 1e9 / rate_hz + (50 * MS if rng.random() < 0.01 else 0)
    return out


def random_streams(seed: int) -> tuple[list[int], list[int], int]:
    """Stamps of two cameras, and the skew that is allowed, nanoseconds."""
    rng = random.Random(seed)
    rate = rng.choice([10, 15, 30, 60])
    a = camera(rng, rate, MS)
    b = camera(rng, rng.choice([rate, rate, 15, 30]), MS + rng.random() * 1e9 / rate)
    return a, b, rng.choice([5, 20, 20, 50, 100]) * MS
