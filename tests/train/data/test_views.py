import numpy as np
import pytest
import torch

from edgevl_core.camera.depth import LINEAR_RANGE_M, encode_depth
from edgevl_train.data.missing import MISSING_DRAWS, lose_depth
from edgevl_train.data.views import augment_depth, crop, draw_views
from edgevl_train.sections import DepthAugmentSection, MissingDepthSection, ViewsSection

pytestmark = pytest.mark.unit
NO_NOISE = torch.empty(0)


def picture(count: int = 4, side: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def boxes(count: int, *box: float) -> torch.Tensor:
    return torch.tensor([box]).repeat(count, 1)


def test_view_0_is_the_whole_frame_and_the_others_obey_the_section() -> None:
    section = ViewsSection(count=5, min_scale=0.3, max_scale=0.8)
    views = draw_views(200, section, seed=1)
    assert (views.boxes[0] == (0, 0, 1, 1)).all()
    assert not views.flips[0].any()
    width, height = (
        views.boxes[1:, :, 2] - views.boxes[1:, :, 0],
        views.boxes[1:, :, 3] - views.boxes[1:, :, 1],
    )
    assert views.boxes.min() >= 0
    assert views.boxes.max() <= 1 + 1e-6
    assert (width * height).max() <= 0.8 + 1e-5
    assert 0.4 < views.flips[1:].mean() < 0.6
    assert views.key == draw_views(200, section, seed=1).key != draw_views(200, section, seed=2).key


@pytest.mark.parametrize("nearest", [True, False])
def test_whole_frame_at_the_same_size_is_the_same_picture(nearest: bool) -> None:
    images = picture()
    out = crop(images, boxes(4, 0, 0, 1, 1), torch.zeros(4, dtype=torch.bool), 24, nearest=nearest)
    assert torch.equal(out, images.permute(0, 3, 1, 2).float())


@pytest.mark.parametrize("nearest", [True, False])
def test_box_and_flip(nearest: bool) -> None:
    images = picture()
    flips = torch.tensor([False, True, False, True])
    out = crop(images, boxes(4, 0.25, 0.5, 0.75, 1.0), flips, 12, nearest=nearest)
    expected = images[:, 12:24, 6:18].permute(0, 3, 1, 2).float()
    expected[1::2] = expected[1::2].flip(3)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("encoding", ["metric", "log"])
def test_nearest_crop_commutes_with_the_encoding(encoding: str) -> None:
    depth_m = np.random.default_rng(0).uniform(0.1, 8, (3, 24, 24)).astype(np.float32)
    depth_m[:, 5:9, 5:9] = np.nan
    box, flips = boxes(3, 0.1, 0.2, 0.83, 0.9), torch.tensor([True, False, True])
    encoded = crop(torch.from_numpy(encode_depth(depth_m, encoding)), box, flips, 16, nearest=True)
    millimetres = torch.from_numpy(np.nan_to_num(depth_m))[..., None].repeat(1, 1, 1, 3)
    # crop rounds (it serves 8-bit codes), so metres go through it as whole micrometres
    cropped = (crop((millimetres * 1e6).round(), box, flips, 16, nearest=True)[:, 0] / 1e6).numpy()
    again = encode_depth(np.where(cropped == 0, np.nan, cropped), encoding).transpose(0, 3, 1, 2)
    assert np.abs(encoded.numpy() - again).max() <= 1


def test_depth_augmentation_makes_holes_and_scales_both_channels() -> None:
    depth_m = np.full((64, 32, 32), 2.0, np.float32)
    codes = torch.from_numpy(encode_depth(depth_m, "metric")).permute(0, 3, 1, 2).float()
    section = DepthAugmentSection(hole_probability=0.5, hole_max_side=0.5, range_jitter=0.2)
    draw = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
    out = augment_depth(codes, section, "metric", draw, NO_NOISE)
    hole = (out == 0).all(1)
    assert 10 < hole.any(dim=(1, 2)).sum() < 54
    assert set(out[:, 2].unique().tolist()) == {0.0, 255.0}
    centre = out.amax((2, 3))
    ratio = centre[:, 0] / codes[0, 0, 0, 0] * (centre[:, 1] / codes[0, 1, 0, 0])
    assert (ratio - 1).abs().max() < 0.08  # nearer in one channel is nearer in the other, up to rounding
    assert centre[:, 0].std() > 1
    assert torch.equal(out, augment_depth(codes, section, "metric", draw, NO_NOISE))


def test_depth_noise_grows_with_the_square_of_the_range_in_both_codes() -> None:
    depth_m = np.full((2, 64, 64), 2.0, np.float32)
    depth_m[1] = 4.0
    depth_m[:, :8] = np.nan
    codes = torch.from_numpy(encode_depth(depth_m, "metric")).permute(0, 3, 1, 2).float()
    section = DepthAugmentSection(hole_probability=0, range_jitter=0, noise_m_at_1m=0.03)
    noise = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    out = augment_depth(codes, section, "metric", torch.zeros(2, 6), noise)
    assert (out[:, :, :8] == 0).all()  # invalid stays invalid
    assert (out[:, 2, 8:] == 255).all()
    range_m = out[:, 0, 8:] * (LINEAR_RANGE_M / 255)
    near, far = range_m.std(dim=(1, 2)).tolist()
    assert near == pytest.approx(0.03 * 4, rel=0.06)
    assert far == pytest.approx(0.03 * 16, rel=0.06)
    same_depth = codes[:, 1] * codes[:, 0] / out[:, 0]  # nearer in one code is nearer in the other, up to rounding
    assert ((out[:, 1] - same_depth)[:, 8:].abs() < 1).all()


def test_logarithmic_depth_moves_by_the_same_codes_wherever_it_is() -> None:
    depth_m = np.array([[[np.nan, 0.4, 1.0, 2.0, 5.0]]] * 64, np.float32).repeat(5, 1)
    codes = torch.from_numpy(encode_depth(depth_m, "log")).permute(0, 3, 1, 2).float()
    section = DepthAugmentSection(hole_probability=0, range_jitter=0.2)
    draw = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
    out = augment_depth(codes, section, "log", draw, NO_NOISE)
    assert (out[..., 0] == 0).all()
    moved = (out - codes)[..., 1:]
    factor = 1 + 0.2 * (2 * draw[:, 0] - 1)
    expected = (factor.log() * 254 / np.log(10 / 0.3)).view(-1, 1, 1, 1)
    assert ((moved - expected).abs() <= 0.5).all()
    assert moved.std() > 3
    noisy = DepthAugmentSection(hole_probability=0, range_jitter=0, noise_m_at_1m=0.03)
    noise = torch.randn(64, 5, 5, generator=torch.Generator().manual_seed(0))
    out = augment_depth(codes, noisy, "log", torch.zeros(64, 6), noise)
    assert (out[..., 0] == 0).all()
    range_m = 0.3 * ((out - 1) * np.log(10 / 0.3) / 254).exp()[:, 0]
    assert range_m[..., 2].std().item() == pytest.approx(0.03, rel=0.15)
    assert range_m[..., 3].std().item() == pytest.approx(0.03 * 4, rel=0.15)


def test_minmax_depth_keeps_its_values_outside_holes() -> None:
    codes = torch.full((8, 3, 16, 16), 100.0)
    draw = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
    out = augment_depth(codes, DepthAugmentSection(), "minmax", draw, NO_NOISE)
    assert set(out.unique().tolist()) <= {0.0, 100.0}


def test_missing_depth_is_ragged_and_leaves_the_rest_alone() -> None:
    codes = torch.full((64, 3, 64, 64), 90.0)
    draw = torch.rand(64, MISSING_DRAWS, generator=torch.Generator().manual_seed(0))
    untouched = lose_depth(codes.clone(), MissingDepthSection(), draw)
    assert torch.equal(untouched, codes)
    section = MissingDepthSection(probability=0.5, max_share=0.6)
    out = lose_depth(codes.clone(), section, draw)
    assert set(out.unique().tolist()) == {0.0, 90.0}
    assert torch.equal(out[:, 0], out[:, 2])  # all channels alike
    lost = (out[:, 0] == 0).float().mean((1, 2))
    assert not lost[draw[:, 0] >= 0.5].any()
    assert 0.05 < lost[draw[:, 0] < 0.5].mean() < 0.6
    rim = torch.cat([out[:, 0, 0], out[:, 0, -1]]) == 0
    assert rim.float().mean() > lost.mean()  # the rim goes first
    assert torch.equal(out, lose_depth(codes.clone(), section, draw))
