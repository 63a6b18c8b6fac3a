"""What a bundle tests itself with shows nobody's home."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.bundle.golden import read_golden
from edgevl_train.golden_inputs import noise_like

pytestmark = pytest.mark.train


@pytest.mark.parametrize("side_px", [16, 33])
def test_noise_has_the_colours_and_the_grain_of_the_pictures(side_px: int) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(60, 190, (12, 4, 4, 3)).repeat(side_px // 4 + 1, 1).repeat(side_px // 4 + 1, 2)
    pictures = levels[:, :side_px, :side_px].astype(np.uint8)
    noise = noise_like(pictures, 6, seed=1)
    assert noise.shape == (6, side_px, side_px, 3)
    assert noise.dtype == np.uint8
    np.testing.assert_allclose(noise.mean((0, 1, 2)), pictures.mean((0, 1, 2)), atol=3)
    rough = [
        np.abs(np.diff(np.asarray(each, np.float32), axis=1)).mean()
        for each in (noise, pictures, rng.integers(0, 256, noise.shape))
    ]
    assert abs(rough[0] - rough[1]) < abs(rough[0] - rough[2])
    np.testing.assert_array_equal(noise, noise_like(pictures, 6, seed=1))
    assert (noise != noise_like(pictures, 6, seed=2)).mean() > 0.9


def test_no_picture_of_a_run_can_be_recognised_in_its_bundle(finished_run: Path) -> None:
    """Correlation with every picture of the cache, at the best shift: what a picture has with itself is 1."""
    golden = read_golden(finished_run / "bundle" / "golden.npz").pixels
    side_px = golden.shape[-1]
    for name, inputs in (("rgb", golden[: len(golden) // 2]), ("depth", golden[len(golden) // 2 :])):
        pictures = np.fromfile(finished_run / f"cache/full_{name}.u8", np.uint8).reshape(-1, side_px, side_px, 3)
        ours, theirs = (_whitened(each) for each in (inputs.transpose(0, 2, 3, 1), pictures))
        likeness = np.abs(np.fft.irfft2(ours[:, None] * theirs[None].conj(), s=(side_px, side_px))).max((2, 3))
        itself = np.fft.irfft2(theirs * theirs.conj(), s=(side_px, side_px)).max((1, 2))
        assert likeness.max() < 0.5 * itself.min(), name


def _whitened(pictures: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft2(pictures.mean(3) - pictures.mean((1, 2, 3))[:, None, None])
    return spectrum / np.maximum(np.abs(spectrum), 1e-9)
