import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.sequences import number_sequences
from edgevl_train.data.split import split_pairs
from edgevl_train.sections import SplitSection

pytestmark = pytest.mark.unit


def stamps(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """One pair a second, bags one after the other."""
    total = sum(lengths)
    return np.arange(total, dtype=np.int64) * 10**9, np.repeat(np.arange(len(lengths)), lengths)


def runs(rows: np.ndarray) -> int:
    """How many runs of neighbouring rows."""
    return int((np.diff(rows) > 1).sum()) + 1


def test_validation_is_spread_over_the_drive_in_blocks_with_gaps() -> None:
    """Eight rooms of 40 s one after the other: each has validation pairs, and each has training pairs."""
    stamp_ns, bag = stamps(320)
    split = split_pairs(stamp_ns, bag, SplitSection(), seed=0)
    assert (split.by, len(split.val), runs(split.val)) == ("time", 32, 9)
    assert set(split.val // 40) == set(split.train // 40) == set(range(8))
    assert np.abs(split.train[:, None] - split.val).min() == 5


@pytest.mark.parametrize(("gap_s", "blocks"), [(0.0, 10), (1.0, 10), (5.0, 7), (20.0, 1), (100.0, 1)])
def test_gaps_take_a_bounded_part_of_the_drive(gap_s: float, blocks: int) -> None:
    stamp_ns, bag = stamps(250)
    split = split_pairs(stamp_ns, bag, SplitSection(by="time", gap_s=gap_s), seed=0)
    assert runs(split.val) == blocks
    assert split.dropped <= max(0.3 * 250, gap_s)


def test_one_block_is_the_end_with_a_gap_before_it() -> None:
    stamp_ns, bag = stamps(100, 200)
    split = split_pairs(stamp_ns, bag, SplitSection(by="time", val_fraction=0.1, blocks=1, gap_s=5), seed=0)
    assert split.val.tolist() == [*range(90, 100), *range(280, 300)]
    for last, first in ((85, 90), (275, 280)):
        assert last in split.train
        assert not set(range(last + 1, first)) & set(split.train)
    assert len(split.train) + len(split.val) + split.dropped == 300


def test_rows_out_of_time_order_are_split_by_time() -> None:
    stamp_ns, bag = stamps(100)
    order = np.random.default_rng(0).permutation(100)
    split = split_pairs(stamp_ns[order], bag, SplitSection(by="time", val_fraction=0.2, gap_s=0), seed=0)
    whole = split_pairs(stamp_ns, bag, SplitSection(by="time", val_fraction=0.2, gap_s=0), seed=0)
    assert sorted(stamp_ns[order][split.val]) == stamp_ns[whole.val].tolist()


def test_auto_takes_whole_bags_where_their_sizes_allow_it() -> None:
    stamp_ns, bag = stamps(*[50] * 10)
    split = split_pairs(stamp_ns, bag, SplitSection(val_fraction=0.1), seed=3)
    assert split.by == "bag"
    assert len(split.val) == 50
    assert len(set(bag[split.val])) == 1
    assert not set(bag[split.val]) & set(bag[split.train])


@pytest.mark.parametrize("lengths", [(300,), (250, 260), (250, 30), (50,) * 9])
def test_auto_takes_blocks_of_time_otherwise(lengths: tuple[int, ...]) -> None:
    stamp_ns, bag = stamps(*lengths)
    assert split_pairs(stamp_ns, bag, SplitSection(), seed=0).by == "time"


def clips(*lengths: int) -> np.ndarray:
    """Stamps of sequences of so many pairs, a second apart; from the last of one to the first of the next a minute."""
    begins = np.concatenate([np.arange(length) == 0 for length in lengths])
    return (np.cumsum(np.where(begins, 60, 1)) * 10**9).astype(np.int64)


def test_auto_holds_out_whole_sequences_of_a_collection_spread_over_it() -> None:
    stamp_ns = clips(*[4, 9, 2, 6, 1] * 24)
    bag = np.zeros(len(stamp_ns), int)
    split = split_pairs(stamp_ns, bag, SplitSection(), seed=0)
    assert (split.by, split.dropped, len(split.val)) == ("sequence", 0, pytest.approx(0.1 * len(bag), abs=1))
    sequence = number_sequences(stamp_ns, bag)
    held = np.unique(sequence[split.val])
    assert np.diff([-1, *held, 120]).max() <= 2 / 0.1
    assert not set(held) & set(sequence[split.train])


@pytest.mark.parametrize(
    "lengths",
    [
        (120,) * 12,  # a drive of two minutes at a time
        (300, *[1] * 40, 300),  # a drive, single pairs while the robot stood still, and the way back
        (9,) * 9,  # too few
    ],
)
def test_auto_takes_blocks_of_time_of_a_drive_with_pauses(lengths: tuple[int, ...]) -> None:
    stamp_ns = clips(*lengths)
    assert split_pairs(stamp_ns, np.zeros(len(stamp_ns), int), SplitSection(), seed=0).by == "time"


def test_auto_takes_blocks_of_time_where_sequences_are_too_large_a_part() -> None:
    stamp_ns = clips(*[20] * 10)
    assert split_pairs(stamp_ns, np.zeros(200, int), SplitSection(val_fraction=0.04), seed=0).by == "time"


def test_auto_decides_for_each_bag() -> None:
    """A drive of one home beside a collection: blocks of the one, whole sequences of the other."""
    drive, collection = np.arange(400, dtype=np.int64) * 10**9, clips(*[5] * 30)
    bag = np.repeat([0, 1], [len(drive), len(collection)])
    split = split_pairs(np.concatenate([drive, collection]), bag, SplitSection(), seed=0)
    alone = split_pairs(drive, bag[:400], SplitSection(), seed=0)
    assert split.by == "sequence and time"
    assert (split.val[split.val < 400].tolist(), split.dropped) == (alone.val.tolist(), alone.dropped)
    assert len(split.val) == 40 + 15


def test_seed_decides_which_bag() -> None:
    stamp_ns, bag = stamps(*[50] * 10)
    chosen = {int(bag[split_pairs(stamp_ns, bag, SplitSection(), seed=s).val[0]]) for s in range(12)}
    assert len(chosen) > 3


@pytest.mark.parametrize(
    ("lengths", "section"),
    [
        ((3,), SplitSection(by="time")),
        ((40,), SplitSection(by="time", gap_s=60)),
        ((40,), SplitSection(by="bag")),
        ((40,), SplitSection(by="sequence")),
    ],
)
def test_an_empty_part_is_an_error(lengths: tuple[int, ...], section: SplitSection) -> None:
    stamp_ns, bag = stamps(*lengths)
    with pytest.raises(UserError, match="split"):
        split_pairs(stamp_ns, bag, section, seed=0)


def test_the_gap_is_exact_to_the_nanosecond() -> None:
    last = 1_700_000_000 * 10**9
    stamp_ns = np.array([last - 20 * 10**9, last - 5 * 10**9, last - 5 * 10**9 + 1, last])
    split = split_pairs(stamp_ns, np.zeros(4, int), SplitSection(by="time", val_fraction=0.25, gap_s=5), seed=0)
    assert (split.train.tolist(), split.val.tolist(), split.dropped) == ([0, 1], [3], 1)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of today, to the nanosecond, of some bags; rows in any order."""
    start = draw(st.integers(1_600_000_000, 1_900_000_000)) * 10**9 + draw(st.sampled_from([0, 123_456_789]))
    step = st.one_of(st.integers(0, 3_000_000_000), st.integers(29_999_999_999, 30_000_000_001))
    gaps = draw(st.lists(st.lists(step, min_size=1, max_size=40), min_size=1, max_size=5))
    stamp_ns = np.concatenate([start + np.cumsum(of_bag) for of_bag in gaps]).astype(np.int64)
    bag = np.repeat(np.arange(len(gaps)), [len(of_bag) for of_bag in gaps])
    order = np.random.default_rng(draw(st.integers(0, 2**16))).permutation(len(bag))
    return stamp_ns[order], bag[order]


sections = st.builds(
    SplitSection,
    by=st.sampled_from(["auto", "bag", "sequence", "time"]),
    val_fraction=st.floats(0.01, 0.49),
    gap_s=st.sampled_from([0.0, 0.1, 1 / 3, 5.0, 40.0]),
    blocks=st.sampled_from([1, 2, 10]),
)


@settings(max_examples=150)
@given(recordings(), sections, st.integers(0, 5))
def test_no_validation_pair_is_near_a_training_pair(
    recording: tuple[np.ndarray, np.ndarray], section: SplitSection, seed: int
) -> None:
    stamp_ns, bag = recording
    try:
        split = split_pairs(stamp_ns, bag, section, seed)
    except UserError:
        return  # a part would be empty: said, not made up
    for number in np.unique(bag):
        train, val = (rows[bag[rows] == number] for rows in (split.train, split.val))
        if len(train) and len(val):
            assert split.by != "bag"
            assert np.abs(stamp_ns[train][:, None] - stamp_ns[val]).min() >= round(section.gap_s * 1e9)
    if all(stamp_ns[bag == number].min() % 1_000_000 for number in np.unique(bag)):  # of a clock
        assert np.abs(stamp_ns[split.train][:, None] - stamp_ns[split.val]).min() >= round(section.gap_s * 1e9)


@settings(max_examples=150)
@given(recordings(), sections, st.integers(0, 5))
def test_every_pair_is_trained_on_or_validated_or_counted_as_dropped(
    recording: tuple[np.ndarray, np.ndarray], section: SplitSection, seed: int
) -> None:
    try:
        split = split_pairs(*recording, section, seed)
    except UserError:
        return
    rows = np.concatenate([split.train, split.val])
    assert len(np.unique(rows)) == len(rows) == len(recording[0]) - split.dropped
    assert len(split.train)
    assert len(split.val)
    assert split.dropped == 0 or split.by in ("time", "sequence and time") or len(np.unique(recording[1])) > 1


@settings(max_examples=100)
@given(recordings(), st.floats(0.01, 0.49))
def test_by_sequence_cuts_no_sequence(recording: tuple[np.ndarray, np.ndarray], fraction: float) -> None:
    """Neighbours in time less than 30 s apart are on one side."""
    stamp_ns, bag = recording
    try:
        split = split_pairs(stamp_ns, bag, SplitSection(by="sequence", val_fraction=fraction), seed=0)
    except UserError:
        return
    in_val = np.isin(np.arange(len(bag)), split.val)
    for number in np.unique(bag):
        rows = np.flatnonzero(bag == number)
        rows = rows[np.argsort(stamp_ns[rows])]
        together = np.diff(stamp_ns[rows]) < 30 * 10**9
        assert (in_val[rows][1:] == in_val[rows][:-1])[together].all()


WALL_NS = 1_790_000_000_123_456_789  # of a recorder's clock


def test_bags_of_one_drive_are_apart_by_the_gap() -> None:
    """A recorder that begins a new bag each minute: the pairs beside a validation bag are left out, too."""
    stamp_ns, bag = np.arange(3000) * 200_000_000, np.repeat(np.arange(10), 300)
    section = SplitSection(by="bag", gap_s=5.0)
    there = split_pairs(stamp_ns + WALL_NS, bag, section, seed=0)
    nearest_ns = np.abs(stamp_ns[there.train][:, None] - stamp_ns[there.val]).min()
    assert nearest_ns == 5_000_000_000
    assert there.dropped == 3000 - len(there.train) - len(there.val) in (24, 48)
    # No clock: stamps of two bags say nothing of each other.
    for made_up_ns in (stamp_ns + 789, stamp_ns + 1_700_000_000_000_000_000):
        made_up = split_pairs(made_up_ns, bag, section, seed=0)
        np.testing.assert_array_equal(made_up.val, there.val)
        assert made_up.dropped == 0


def test_a_log_taken_from_a_raw_bag_validates_nothing_that_is_learned_from() -> None:
    raw = np.arange(3000) * 200_000_000 + WALL_NS
    stamp_ns, bag = np.concatenate([raw, raw[::10]]), np.repeat([0, 1], [3000, 300])
    for by in ("time", "bag", "sequence"):
        try:
            found = split_pairs(stamp_ns, bag, SplitSection(by=by, gap_s=5.0), seed=0)
        except UserError:
            continue  # nothing would be left
        assert not np.isin(stamp_ns[found.val], stamp_ns[found.train]).any()
        assert len(found.train)
