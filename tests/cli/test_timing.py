"""Interleaved timing: every task in every round, ratios only within a run."""

import pytest

from edgevl_core.base.timing import MAX_ROUNDS, MIN_ROUNDS, Timing, measure, ratio, ratio_quartiles

pytestmark = pytest.mark.unit


class Machine:
    """A clock that tasks push on, and what was called in which order."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now_s

    def task(self, name: str, seconds: float, drift: float = 0.0):
        def run() -> None:
            self.calls.append(name)
            self.now_s += seconds * (1 + drift * self.now_s)

        return run


def timed(seed: int = 0, drift: float = 0.0, seconds: float = 1.0) -> tuple[Machine, dict[str, Timing]]:
    machine = Machine()
    tasks = {name: machine.task(name, s, drift) for name, s in {"a": 0.010, "b": 0.020, "c": 0.005}.items()}
    return machine, measure(tasks, seconds=seconds, seed=seed, clock=machine.clock)


def rounds_of(calls: list[str], count: int) -> list[list[str]]:
    """The measured rounds: of each task an untimed call and one timed, behind one another."""
    measured = calls[-6 * count :]
    return [measured[start : start + 6] for start in range(0, len(measured), 6)]


def test_every_round_runs_every_task_once_in_a_shuffled_order() -> None:
    machine, timings = timed()
    orders = [round_[::2] for round_ in rounds_of(machine.calls, len(timings["a"].seconds))]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len({tuple(order) for order in orders}) > 2
    assert [len(t.seconds) for t in timings.values()] == [len(orders)] * 3


def test_medians_and_quartiles_are_those_of_the_calls() -> None:
    _, timings = timed()
    assert timings["b"].median_s == pytest.approx(0.020)
    assert timings["c"].quartiles_s == pytest.approx((0.005,) * 3)
    assert timings["c"].quartiles_ms == pytest.approx((5.0,) * 3)
    assert ratio(timings["b"], timings["c"]) == pytest.approx(4.0)


def test_the_same_seed_gives_the_same_order() -> None:
    assert timed(seed=3)[0].calls == timed(seed=3)[0].calls
    assert timed(seed=3)[0].calls != timed(seed=4)[0].calls


def test_a_machine_that_slows_down_does_not_change_the_ratio() -> None:
    _, timings = timed(drift=0.5, seconds=2.0)
    low, _, high = timings["b"].quartiles_s
    assert high / low > 1.3, "the drift is to be felt"
    assert ratio(timings["b"], timings["c"]) == pytest.approx(4.0, rel=0.03)


def test_timings_of_two_runs_form_no_ratio() -> None:
    first, second = timed()[1], timed()[1]
    with pytest.raises(ValueError, match="different runs"):
        ratio(first["a"], second["a"])
    with pytest.raises(ValueError, match="different runs"):
        ratio_quartiles(first["a"], second["b"])


def test_short_tasks_run_in_blocks_and_count_by_the_call() -> None:
    machine = Machine()
    timings = measure({"short": machine.task("short", 1e-5)}, seconds=0.1, clock=machine.clock)
    assert timings["short"].median_s == pytest.approx(1e-5)
    assert len(machine.calls) > 100 * len(timings["short"].seconds)


@pytest.mark.parametrize(("seconds", "rounds"), [(1e-6, MIN_ROUNDS), (1e6, MAX_ROUNDS), (float("inf"), MAX_ROUNDS)])
def test_rounds_follow_the_time_given_within_limits(seconds: float, rounds: int) -> None:
    machine, seen = Machine(), []
    tasks = {"a": machine.task("a", 0.01)}
    measure(tasks, seconds=seconds, clock=machine.clock, on_progress=lambda *step: seen.append(step))
    assert seen == [(done, rounds) for done in range(1, rounds + 1)]


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no task"):
        measure({}, seconds=1.0)
