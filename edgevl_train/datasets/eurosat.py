"""EuroSAT with all 13 bands: <Class>/<Class>_N.tif, 64 x 64 uint16, reflectance times 10000.

The bands of a file are B1 to B12 in order, then B8A. RGB is B4, B3, B2. The second modality is B12 (short-wave
infrared), which the paper divides by 4095; here the raw value is stored as 16UC1, so that everything downstream takes
it for millimetres: depth_m = value / 1000, 0 = invalid, and the 10 m of the depth encoding are a reflectance of 1.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.files import png_pixels
from edgevl_train.datasets.sample import Collection, Pixels, Sample, by_scene

SPLITS = {
    "train": ("HerbaceousVegetation", "River", "Industrial", "SeaLake", "Forest"),
    "test": ("AnnualCrop", "Highway", "Pasture", "PermanentCrop", "Residential"),
}
"""The paper splits by class: what is tested has never been seen."""

LAYOUT = "EuroSAT with 13 bands, with {AnnualCrop,Forest,...}/*.tif in it"
BANDS = 13
RED_GREEN_BLUE = (3, 2, 1)
B12 = 11
MAX_PIXELS = 1024 * 1024
"""A tile has 64 x 64. A damaged header may claim any size, and the reader allocates before it looks for the data."""

WHITE = 3000
"""The value shown as 255: a reflectance of 0.3; only clouds, snow and bright roofs have more."""


def fits(source: Path) -> bool:
    """Whether ``source`` has a folder of a class with a .tif file in it."""
    return any(next((source / name).glob("*.tif"), None) for names in SPLITS.values() for name in names)


def collect(source: Path, split: str | None) -> Collection:
    """The tiles of all classes, or of a split's; each tile is a scene of its own.

    Args:
        split: train or test.

    Raises:
        UserError: another split, or tifffile is missing.
    """
    if split is not None and split not in SPLITS:
        raise UserError(f"--split {split}: EuroSAT has the splits {' and '.join(SPLITS)}, by class; give one of them")
    try:
        import tifffile  # noqa: F401
    except ImportError as error:
        raise UserError(f"{source} needs tifffile, which is not installed: pip install tifffile") from error
    classes = SPLITS[split] if split else [name for names in SPLITS.values() for name in names]
    files = [(name, file) for name in classes for file in sorted((source / name).glob("*.tif"))]
    notes = [f"no {name}/*.tif" for name in classes if name not in dict(files)]
    samples = [Sample(partial(_read, file), _words(name), file.stem) for name, file in files]
    return Collection(by_scene(samples), notes=notes)


def _words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _read(file: Path) -> Pixels:
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            shape, dtype = page.shape, page.dtype
            bands = page.asarray() if _plausible(shape, dtype) else None
    except Exception as error:  # tifffile answers damaged bytes with TypeError, ZeroDivisionError, struct.error ...
        raise ValueError(f"{file}: no readable TIFF ({error})") from error
    if bands is None:
        raise ValueError(f"{file}: {dtype} {shape}, not {BANDS} bands of 16 bits of at most {MAX_PIXELS} pixels")
    return png_pixels(_colours(bands), np.ascontiguousarray(bands[:, :, B12]))


def _plausible(shape: tuple[int, ...], dtype: object) -> bool:
    return len(shape) == 3 and shape[2] == BANDS and dtype == np.uint16 and 0 < shape[0] * shape[1] <= MAX_PIXELS


def _colours(bands: NDArray[np.uint16]) -> NDArray[np.uint8]:
    reflected = bands[:, :, RED_GREEN_BLUE].astype(np.float32) / WHITE
    return np.asarray(np.rint(np.clip(reflected, 0, 1) * 255), np.uint8)
