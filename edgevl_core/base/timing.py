"""Times several tasks against each other: interleaved, so that what else the machine does meets all of them alike.

A machine's speed drifts (load, heat, clock rate), and figures from two runs cannot be compared. So every round runs
every task once, in an order of its own, and a ratio is only formed within a run, round by round.
"""

import random
import statistics
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Task = Callable[[], object]

MIN_ROUNDS, MAX_ROUNDS = 7, 301
_MIN_BLOCK_S = 0.004  # shorter tasks run several times in a row, so that the clock's own cost does not count
_MAX_BLOCK = 1000


@dataclass(frozen=True)
class Timing:
    """One task's times.

    Attributes:
        run_id: names the run; only timings of one run can be compared.
        seconds: mean seconds of one call, for each round.
    """

    run_id: str
    name: str
    seconds: tuple[float, ...]

    @property
    def quartiles_s(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile, seconds."""
        return _quartiles(self.seconds)

    @property
    def quartiles_ms(self) -> tuple[float, float, float]:
        """The same in milliseconds."""
        lower, median, upper = self.quartiles_s
        return 1e3 * lower, 1e3 * median, 1e3 * upper

    @property
    def median_s(self) -> float:
        """The median round, seconds."""
        return self.quartiles_s[1]


def ratio(a: Timing, b: Timing) -> float:
    """How many times as long ``a`` takes as ``b``: the median over the rounds. Raises as :func:`ratio_quartiles`."""
    return ratio_quartiles(a, b)[1]


def ratio_quartiles(a: Timing, b: Timing) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of a / b, each round by itself: drift cancels.

    Raises:
        ValueError: the two were not measured in the same run.
    """
    if a.run_id != b.run_id:
        raise ValueError(
            f"{a.name} / {b.name}: measured in different runs ({a.run_id}, {b.run_id}), which cannot be compared"
        )
    return _quartiles([x / y for x, y in zip(a.seconds, b.seconds)])


def measure(
    tasks: Mapping[str, Task],
    *,
    seconds: float,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Timing]:
    """Time the tasks, interleaved.

    The first calls (they allocate) are thrown away. Then every round runs all tasks in a shuffled order, each as
    one untimed call, which fills the caches that its predecessor took, and a short timed block.

    Args:
        tasks: what is called, by name.
        seconds: about how long all of it takes, > 0; MIN_ROUNDS are run however long they take.
        seed: of the orders.
        clock: monotonic seconds.
        on_progress: called with rounds done and rounds in all, after each.

    Raises:
        ValueError: no task.
    """
    if not tasks:
        raise ValueError("no task to time")
    run_id = uuid.uuid4().hex[:12]
    blocks, round_s = {}, 0.0
    for name, task in tasks.items():
        task()
        once_s = min(_block_s(task, 1, clock) for _ in range(2))
        blocks[name] = _block_size(once_s)
        round_s += once_s * (blocks[name] + 1)
    rounds = MAX_ROUNDS if round_s <= 0 else round(max(MIN_ROUNDS, min(MAX_ROUNDS, seconds / round_s)))
    found: dict[str, list[float]] = {name: [] for name in tasks}
    order, rng = list(tasks), random.Random(seed)
    for done in range(1, rounds + 1):
        rng.shuffle(order)
        for name in order:
            tasks[name]()
            found[name].append(_block_s(tasks[name], blocks[name], clock) / blocks[name])
        on_progress(done, rounds)
    return {name: Timing(run_id, name, tuple(times)) for name, times in found.items()}


def _block_size(once_s: float) -> int:
    """Calls in a row that fill a block."""
    return max(1, min(_MAX_BLOCK, round(_MIN_BLOCK_S / max(once_s, 1e-9))))


def _block_s(task: Task, calls: int, clock: Callable[[], float]) -> float:
    """Seconds of so many calls."""
    start_s = clock()
    for _ in range(calls):
        task()
    return clock() - start_s


def _quartiles(values: "list[float] | tuple[float, ...]") -> tuple[float, float, float]:
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper
