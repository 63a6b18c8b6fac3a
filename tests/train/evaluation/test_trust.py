"""Trust curves: measured on pictures whose light and holes are known, on a student that sees what it is told to see."""

from collections.abc import Callable

import numpy as np
import pytest

from edgevl_core.bundle.fusion import mean_luma, valid_share
from edgevl_train.evaluation.trust import GAINS, HOLES, darkened, measure_trust, punched

pytestmark = pytest.mark.unit
PAIRS, SIDE = 64, 16
BANK = np.eye(4, 8, dtype=np.float32)
KIND = np.arange(PAIRS) % 4


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """RGB, and encoded depth without holes, in which the kind of a pair stands in its brightest quarter."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(40, 120, (PAIRS, SIDE, SIDE, 3), dtype=np.uint8)
    depth = rng.integers(30, 60, (PAIRS, SIDE, SIDE, 3), dtype=np.uint8)
    for images in (rgb, depth):
        for row, kind in enumerate(KIND):
            images[row, 4 * kind : 4 * kind + 4] += 100
    return rgb, depth


def sees_above(limit: float) -> Callable[[np.ndarray], np.ndarray]:
    """A student that names the brightest quarter of what is brighter than ``limit``, and something else otherwise."""

    def embed(images: np.ndarray) -> np.ndarray:
        quarters = images.mean((2, 3), dtype=np.float32).reshape(len(images), 4, 4).mean(2)
        seen = np.where(quarters.max(1) > limit, quarters.argmax(1), (quarters.argmax(1) + 1) % 4)
        return BANK[seen]

    return embed


def test_each_camera_is_believed_as_far_as_it_was_seen_to_be_right() -> None:
    rgb, depth = pictures()
    trust, steps = measure_trust(rgb, depth, BANK[KIND], embed=sees_above(20), bank=BANK, logit_scale=10.0)
    blind = next(step["at"] for step in steps["rgb"] if step["agreement"] < 0.5)
    assert trust.rgb(np.float32(blind)) == 0
    assert trust.rgb(np.float32(steps["rgb"][0]["at"])) > 0.3
    assert trust.depth(np.float32(0)) == 0
    assert trust.depth(np.float32(1)) > 0.3
    assert [len(steps[camera]) for camera in ("rgb", "depth")] == [len(GAINS), len(HOLES)]


def test_a_student_that_sees_in_the_dark_is_believed_there() -> None:
    rgb, depth = pictures()
    images = (rgb, depth, BANK[KIND])
    near, far = (
        measure_trust(*images, embed=sees_above(limit), bank=BANK, logit_scale=10.0)[0].rgb for limit in (4, 60)
    )
    assert near(np.float32(20)) > far(np.float32(20)) == 0


def test_light_and_holes_are_as_asked() -> None:
    rgb, depth = pictures()
    luma = [float(mean_luma(darkened(rgb, gain)).mean()) for gain in GAINS]
    assert luma == sorted(luma, reverse=True)
    assert luma[2] / luma[0] == pytest.approx(GAINS[2], abs=0.02)
    assert luma[-1] < 2
    for holes in HOLES:
        assert float(valid_share(punched(depth, holes)).mean()) == pytest.approx(1 - holes, abs=0.01)
    assert np.array_equal(darkened(rgb, 0.2), darkened(rgb, 0.2))
