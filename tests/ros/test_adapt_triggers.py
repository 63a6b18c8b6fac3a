"""When an adaptation starts by itself: new pairs, the dock, the time of day."""

import math
from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import BatteryState

from edgevl_core.adaptation.triggers import PairCount, Rules, Seen, Window, due, parse_window
from edgevl_core.base.errors import UserError
from edgevl_ros.adaptation.robot_state import docked_at

pytestmark = pytest.mark.unit
NOON, NIGHT = time(12, 0), time(3, 30)


def test_nothing_starts_unless_it_is_asked_for():
    everything = Seen(now=NIGHT, new_pairs=10**6, docked_at=1.0)
    assert due(Rules(), everything) == ""
    assert not Rules().used()


@pytest.mark.parametrize(
    ("rules", "no", "yes", "reason"),
    [
        (Rules(new_pairs=40), Seen(NOON, new_pairs=39), Seen(NOON, new_pairs=40), "40 new pairs"),
        (Rules(min_battery=0.8), Seen(NOON, docked_at=0.79), Seen(NOON, docked_at=0.8), "on the dock, battery at 80%"),
        (Rules(min_battery=0.0), Seen(NOON), Seen(NOON, docked_at=0.0), "on the dock, battery at 0%"),
        (Rules(window=Window(time(2), time(5))), Seen(NOON), Seen(NIGHT), "03:30 is within 02:00-05:00"),
    ],
)
def test_each_trigger_alone(rules, no, yes, reason):
    assert rules.used()
    assert due(rules, no) == ""
    assert due(rules, yes) == reason


def test_any_of_them_or_all_that_are_set():
    any_of = Rules(new_pairs=40, window=Window(time(2), time(5)))
    all_of = Rules(new_pairs=40, window=Window(time(2), time(5)), mode="all")
    assert due(any_of, Seen(NOON, new_pairs=50)) == "50 new pairs"
    assert due(all_of, Seen(NOON, new_pairs=50)) == ""
    assert due(all_of, Seen(NIGHT, new_pairs=50)) == "50 new pairs, 03:30 is within 02:00-05:00"


def test_at_most_one_in_the_interval():
    rules = Rules(new_pairs=1, min_interval_h=20)
    assert due(rules, Seen(NOON, new_pairs=9, since_last_h=19.9)) == ""
    assert due(rules, Seen(NOON, new_pairs=9, since_last_h=20.0)) != ""
    assert due(rules, Seen(NOON, new_pairs=9, since_last_h=math.inf)) != ""


@given(st.times(), st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_and_its_complement_share_no_minute_and_leave_none(now, start, end):
    start_at, end_at = time(*divmod(start, 60)), time(*divmod(end, 60))
    if start != end:
        assert Window(start_at, end_at).holds(now) != Window(end_at, start_at).holds(now)


def test_windows_are_read_across_midnight():
    window = parse_window("22:30-04:00")
    assert [window.holds(time(*at)) for at in ((22, 29), (22, 30), (0, 0), (3, 59), (4, 0))] == [
        *(False, True, True, True, False)
    ]
    for text in ("22:30", "24:00-04:00", "2:30-4:00", "02:00-02:00", "02:00-05:00 "):
        with pytest.raises(UserError, match="time of day"):
            parse_window(text)


def test_pairs_count_when_their_log_is_closed_and_only_once():
    count = PairCount().see("a", 10, True).see("a", 30, True)
    assert (count.closed, count.open_log()) == (0, "a")
    count = count.see("a", 31, False)
    assert (count.closed, count.open_log()) == (31, "")
    # The status is latched: a logger, or this node, that starts again makes it come again.
    count = PairCount.model_validate_json(count.model_dump_json()).see("a", 31, False)
    assert count.closed == 31
    # A logger that crashed never said "stopped"; its pairs count when it goes on to another log.
    count = count.see("b", 5, True).see("c", 1, True)
    assert count.closed == 36
    assert count.adapted().see("c", 2, False).closed == 2


def test_a_log_that_is_begun_again_at_its_path_is_open_until_it_is_closed_again():
    again = PairCount().see("a", 31, True).see("a", 31, False).adapted().see("a", 3, True)
    assert (again.closed, again.open_log()) == (0, "a")
    again = again.see("a", 40, False).see("a", 40, False)
    assert (again.closed, again.open_log()) == (40, "")


def test_a_battery_counts_while_it_charges_or_is_full():
    charging, full, discharging = (
        BatteryState(power_supply_status=status, percentage=0.9)
        for status in (
            BatteryState.POWER_SUPPLY_STATUS_CHARGING,
            BatteryState.POWER_SUPPLY_STATUS_FULL,
            BatteryState.POWER_SUPPLY_STATUS_DISCHARGING,
        )
    )
    assert docked_at(charging) == docked_at(full) == pytest.approx(0.9)
    assert docked_at(discharging) is None
    charging.percentage = math.nan
    assert docked_at(charging) is None


# -- acceptance ------------------------------------------------------------------------------------------
