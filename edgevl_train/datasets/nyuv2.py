"""NYU Depth V2, the labelled part: nyu_depth_v2_labeled.mat, an HDF5 file (MATLAB v7.3).

HDF5 has MATLAB's axes in reverse: images (N, 3, W, H) uint8 RGB, depths (N, W, H) float32 metres with the holes filled
in, sceneTypes and scenes (1, N) references to strings of uint16.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.camera.limits import check_size
from edgevl_train.datasets.files import png_pixels
from edgevl_train.datasets.sample import Collection, Pixels, Sample, by_scene
from edgevl_train.datasets.splits import read_names, wanted

FILE = "nyu_depth_v2_labeled.mat"
LAYOUT = f"NYU Depth V2, the file {FILE} or its folder"
ARRAYS = ("images", "depths", "sceneTypes", "scenes")
MAX_IMAGES, MAX_TEXT = 1_000_000, 1000  # there are 1449; characters of a scene's name


def fits(source: Path) -> bool:
    """Whether ``source`` is a .mat file or holds the labelled one."""
    return source.suffix == ".mat" or (source / FILE).is_file()


def collect(source: Path, split: str | None) -> Collection:
    """The labelled pairs; the room is the scene type (27 in all), in words.

    Args:
        split: a file that lists image numbers from 1, one a line, as trainNdxs and testNdxs of splits.mat do.

    Raises:
        UserError: h5py is missing, the file is none of HDF5, lacks an array or keeps one in other files, or the list
            is wrong.
    """
    arrays = _open(source / FILE if source.is_dir() else source)
    rooms, scenes = ([_text(arrays, cell) for cell in arrays[name][:].ravel()] for name in ("sceneTypes", "scenes"))
    numbers, notes = [str(number) for number in range(1, len(rooms) + 1)], []
    if split is not None:
        names = read_names(Path(split))
        notes = wanted(names, numbers, split)
        numbers = [number for number in numbers if number in names]
    rows = [int(number) - 1 for number in numbers]
    samples = [Sample(partial(_read, arrays, row), rooms[row].replace("_", " "), scenes[row]) for row in rows]
    return Collection(by_scene(samples), notes=notes)


def _open(path: Path) -> Any:
    """The h5py.File; it closes with the last sample that refers to it."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path} needs h5py, which is not installed: pip install h5py") from error
    try:
        arrays = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path} is no HDF5 file ({error}): give {FILE}, which is MATLAB v7.3") from error
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"{path} has no array {', '.join(missing)}: give {FILE}, the labelled part")
    for name in ARRAYS:
        # Through a link or external storage, HDF5 would read any file of this machine into the bag.
        if not isinstance(arrays.get(name, getlink=True), h5py.HardLink) or not _is_within(arrays[name]):
            raise UserError(f"{path}: its array {name} is kept elsewhere than in it: give {FILE} as it is published")
    _check_shapes(arrays)
    return arrays


def _is_within(array: Any) -> bool:
    """Whether the file itself holds the values of what it calls an array."""
    return hasattr(array, "is_virtual") and not array.is_virtual and array.external is None


def _check_shapes(arrays: Any) -> None:
    """Refuse other sizes than of pictures: values that are not stored cost a file nothing, and reading them memory."""
    images, depths, scenes = (arrays[name].shape for name in ("images", "depths", "scenes"))
    count = min(images[0], MAX_IMAGES) if len(images) == 4 else 0
    if (
        images[:2] != (count, 3)
        or depths != (count, *images[2:])
        or not arrays["sceneTypes"].shape == scenes == (1, count)
    ):
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in ARRAYS)
        raise UserError(f"{arrays.filename} holds {shapes}: give {FILE}, the labelled part")
    check_size(images[2], images[3], 3, arrays.filename)


def _text(arrays: Any, cell: Any) -> str:
    characters = arrays[cell]
    if not _is_within(characters) or characters.size > MAX_TEXT or characters.dtype != np.uint16:
        raise UserError(f"{arrays.filename}: the name of a scene is no text that is kept in it: give {FILE}")
    return "".join(map(chr, characters[:].ravel()))


def _read(arrays: Any, row: int) -> Pixels:
    try:
        rgb, depth_m = arrays["images"][row].transpose(2, 1, 0), arrays["depths"][row].T
    except OSError as error:
        raise OSError(f"{arrays.filename}, image {row + 1}: {error}") from error
    return png_pixels(np.ascontiguousarray(rgb), _millimetres(depth_m))


def _millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """0 where there is no depth, or none that 16 bits can hold."""
    depth_mm = np.rint(depth_m.astype(np.float64) * 1000.0)
    return np.where((depth_mm > 0) & (depth_mm <= 65535), depth_mm, 0).astype(np.uint16)
