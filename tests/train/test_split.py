import numpy as np
import pytest

from edgevl_core.errors import UserError
from edgevl_train.recipe import SplitSection
from edgevl_train.split import split_pairs

pytestmark = pytest.mark.unit


def stamps(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """One pair a second, bags one after the other."""
    total = sum(lengths)
    return np.arange(total, dtype=np.int64) * 10**9, np.repeat(np.arange(len(lengths)), lengths)


def test_time_blocks_keep_a_gap_in_every_bag() -> None:
    stamp_ns, bag = stamps(100, 200)
    split = split_pairs(stamp_ns, bag, SplitSection(by="time", val_fraction=0.1, gap_s=5), seed=0)
    assert split.val.tolist() == [*range(90, 100), *range(280, 300)]
    for last, first in ((85, 90), (275, 280)):
        assert last in split.train
        assert not set(range(last + 1, first)) & set(split.train)
    assert len(split.train) + len(split.val) + split.dropped == 300


def test_rows_out_of_time_order_are_split_by_time() -> None:
    stamp_ns, bag = stamps(100)
    order = np.random.default_rng(0).permutation(100)
    split = split_pairs(stamp_ns[order], bag, SplitSection(by="time", val_fraction=0.2, gap_s=0), seed=0)
    assert stamp_ns[order][split.train].max() < stamp_ns[order][split.val].min()


def test_auto_takes_whole_bags_where_their_sizes_allow_it() -> None:
    stamp_ns, bag = stamps(*[50] * 10)
    split = split_pairs(stamp_ns, bag, SplitSection(val_fraction=0.1), seed=3)
    assert split.by == "bag"
    assert len(split.val) == 50
    assert len(set(bag[split.val])) == 1
    assert not set(bag[split.val]) & set(bag[split.train])


@pytest.mark.parametrize("lengths", [(300,), (250, 260)])
def test_auto_takes_blocks_of_time_otherwise(lengths: tuple[int, ...]) -> None:
    stamp_ns, bag = stamps(*lengths)
    assert split_pairs(stamp_ns, bag, SplitSection(), seed=0).by == "time"


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
    ],
)
def test_an_empty_part_is_an_error(lengths: tuple[int, ...], section: SplitSection) -> None:
    stamp_ns, bag = stamps(*lengths)
    with pytest.raises(UserError, match="split"):
        split_pairs(stamp_ns, bag, section, seed=0)
