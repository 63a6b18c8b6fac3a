"""RGB in bad light: how much of it, how dark, with whose noise, and never more than the recipe says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_train.data.augment import DIM_DRAWS, dim, under_light
from edgevl_train.sections import LowLightSection

pytestmark = pytest.mark.unit
SIDE = 24


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(60, 200, (count, 3, SIDE, SIDE), generator=generator).float()


def draws(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, DIM_DRAWS, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30)
@given(st.floats(0, 1), st.floats(0.02, 1), st.floats(1, 2), st.floats(0, 8), st.integers(0, 99))
def test_a_share_of_the_images_gets_darker_and_the_others_stay(
    probability: float, min_gain: float, max_gamma: float, noise: float, seed: int
) -> None:
    section = LowLightSection(probability=probability, min_gain=min_gain, max_gamma=max_gamma, noise=noise)
    before, draw = pictures(40), draws(40, seed)
    after = dim(before.clone(), section, draw)
    chosen = draw[:, 0] < probability
    assert torch.equal(after[~chosen], before[~chosen])
    assert torch.equal(after, after.clamp(0, 255))
    darkest = 255 * min_gain * (before / 255) ** max_gamma
    assert (after[chosen].mean((1, 2, 3)) >= darkest[chosen].mean((1, 2, 3)) - noise).all()


def test_light_is_a_gain_and_noise_is_the_cameras() -> None:
    rgb, one = pictures(8), torch.ones(8)
    place = draws(8)[:, 4:]
    quarter = under_light(rgb, 0.25 * one, one, 0 * one, place)
    assert torch.allclose(quarter, rgb * 0.25)
    noisy = under_light(rgb, 0.5 * one, one, 4 * one, place) - rgb * 0.5
    assert noisy.std().item() == pytest.approx(4, rel=0.05)
    assert abs(noisy.mean().item()) < 0.3
    assert torch.equal(under_light(rgb, 0.5 * one, one, 4 * one, place), rgb * 0.5 + noisy)


def test_gains_cover_dusk_and_night_evenly() -> None:
    """Log-uniform: as many images between a fifth and a tenth of the light as between a tenth and a twentieth."""
    section = LowLightSection(probability=1, min_gain=0.05, max_gamma=1, noise=0)
    before = pictures(4000)[:, :, :2, :2]
    ratio = (dim(before.clone(), section, draws(4000)) / before).mean((1, 2, 3))
    upper, lower = ((ratio > 0.1) & (ratio <= 0.2)).float().mean(), ((ratio > 0.05) & (ratio <= 0.1)).float().mean()
    assert upper.item() == pytest.approx(lower.item(), rel=0.15)
