"""Homes have names of their own, and splits never share one."""

import itertools

import pytest

from edgevl_core.base.errors import UserError
from edgevl_sim import home_name, home_seed
from edgevl_sim.seeds import HOMES_PER_SPLIT, SPLITS

pytestmark = pytest.mark.unit


def test_no_two_homes_share_a_seed() -> None:
    keys = list(itertools.product((0, 1, 2, 7, 123456789), SPLITS, (0, 1, 63, HOMES_PER_SPLIT - 1)))
    assert len({home_seed(*key) for key in keys}) == len(keys)


def test_a_seed_can_be_told_back() -> None:
    for seed, split, index in itertools.product((0, 5), SPLITS, (0, 7, 12345)):
        assert home_name(home_seed(seed, split, index)) == f"{split}-{index:04d}"


@pytest.mark.parametrize(
    ("seed", "split", "index"), [(-1, "train", 0), (0, "training", 0), (0, "val", -1), (0, "val", HOMES_PER_SPLIT)]
)
def test_what_names_no_home_is_refused(seed: int, split: str, index: int) -> None:
    with pytest.raises(UserError):
        home_seed(seed, split, index)
