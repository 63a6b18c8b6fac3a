"""Inputs for a bundle's self-test: noise with the colours and the grain of the pictures, and none of the pictures."""

import numpy as np
from numpy.typing import NDArray


def noise_like(pictures: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """Noise with the pictures' mean and their mean amplitude at each frequency, by channel; its phases are random.

    A student answers to it through the same ranges as to pictures. What a picture shows lies in its phases (Oppenheim
    and Lim, Proceedings of the IEEE 69, 1981), of which nothing is taken, and no amplitude is a single picture's.

    Args:
        pictures: (N, S, S, 3) uint8, N >= 1.
        count: how many to make.
        seed: equal seeds give equal noise.

    Returns:
        (count, S, S, 3) uint8.
    """
    amplitude = np.abs(np.fft.rfft2(pictures, axes=(1, 2))).mean(0)
    side_px = pictures.shape[1]
    # White noise has a spectrum of random phases with the symmetry of a real image; channels share it, as light does.
    white = np.fft.rfft2(np.random.default_rng(seed).standard_normal((count, side_px, side_px)))
    phase = np.exp(1j * np.angle(white))
    phase[:, 0, 0] = 1.0
    noise = np.fft.irfft2(amplitude * phase[..., None], s=(side_px, side_px), axes=(1, 2))
    return np.clip(noise.round(), 0, 255).astype(np.uint8)
