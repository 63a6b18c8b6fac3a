"""What is seen in each region of a map, and where each lies: against the plainest way to say it."""

from itertools import product

import numpy as np
import pytest

from edgevl_core.room_map.evidence import Evidence
from edgevl_core.room_map.occupancy import Grid
from edgevl_core.room_map.places import boxes_of, cells_of
from edgevl_core.room_map.regions import Regions

pytestmark = pytest.mark.unit


@pytest.fixture
def numbers() -> np.ndarray:
    """Regions 1 to 7 in blocks, but for 5; some have holes, one is a single cell, and there is floor of none."""
    random = np.random.default_rng(0)
    blocks = np.array([[1, 2, 0, 3], [4, 4, 6, 3], [7, 0, 6, 1]], np.int32).repeat(9, axis=0).repeat(11, axis=1)
    blocks[random.random(blocks.shape) < 0.2] = 0
    blocks[blocks == 2] = 0
    blocks[3, 15] = 2
    return blocks


def test_each_number_has_the_box_and_the_cells_that_it_has(numbers: np.ndarray) -> None:
    cells = cells_of(numbers)
    assert list(cells) == list(boxes_of(numbers)) == [1, 2, 3, 4, 6, 7]
    for number, (down, across) in boxes_of(numbers).items():
        np.testing.assert_array_equal(cells[number], np.argwhere(numbers == number))
        for part, axis in ((down, 0), (across, 1)):
            assert (part.start, part.stop) == (cells[number][:, axis].min(), cells[number][:, axis].max() + 1)
    assert boxes_of(np.zeros((0, 0), np.int32)) == boxes_of(np.zeros((3, 4), np.int32)) == {}


@pytest.mark.parametrize("resolution_m", [0.05, 0.07, 0.25, 0.6])
@pytest.mark.parametrize("origin_m", [(0.0, 0.0), (-1.13, 0.4), (0.9, -0.31), (40.0, 0.0)])
def test_a_coarse_cell_counts_by_the_share_of_it_that_a_region_covers(numbers, resolution_m, origin_m) -> None:
    """One sum for each region, cell by cell of the map."""
    random, grid = np.random.default_rng(1), Grid(numbers.shape, resolution_m, origin_m)
    evidence = Evidence(3)
    evidence.add(random.random((200, 2)) * (2.0, 1.2), random.random(3, np.float32), 0.9)
    counted: dict[int, np.ndarray] = {int(region): np.zeros(evidence.grid.shape) for region in np.unique(numbers)}
    for cell in product(*map(range, numbers.shape)):
        row, column = evidence.grid.cells(grid.middle_m(np.array(cell))).tolist()
        if 0 <= row < evidence.grid.shape[0] and 0 <= column < evidence.grid.shape[1]:
            counted[int(numbers[cell])][row, column] += 1
    del counted[0]
    found = evidence.by_region(Regions(numbers, grid))
    assert list(found) == list(counted)
    for region, count in counted.items():
        share = count / max(count.max(), 1)
        np.testing.assert_allclose(found[region][0], np.tensordot(share, evidence.total), atol=1e-5)
        assert found[region][1] == pytest.approx((share * evidence.weight).sum(), abs=1e-5)


def test_a_map_that_stays_is_looked_at_once(numbers: np.ndarray) -> None:
    """A frame and a question cost what was seen, not the cells of the map, until what was seen grows."""
    regions, coarse = Regions(numbers, Grid(numbers.shape, 0.05, (0.0, 0.0))), Grid((9, 9), 0.25, (0.0, 0.0))
    first = regions.covers(coarse)
    assert regions.covers(Grid((9, 9), 0.25, (0.0, 0.0))) is first
    assert regions.covers(Grid((12, 9), 0.25, (0.0, 0.0))) is not first


@pytest.mark.parametrize("cells", [3, 7, 11, 49])
def test_one_frame_that_shows_one_region_is_one_whole_frame(cells: int) -> None:
    """Its shares add up to one but for rounding, which must not tell a known room from an unknown one."""
    evidence = Evidence(3)
    evidence.add(np.stack([np.arange(cells) * 0.25, np.zeros(cells)], axis=1), np.ones(3, np.float32), 1.0)
    regions = Regions(np.ones((30, 40 * cells), np.int32), Grid((30, 40 * cells), 0.05, (-1.0, -1.0)))
    assert evidence.by_region(regions)[1][1] == 1.0
