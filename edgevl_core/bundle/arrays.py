"""Arrays of an .npz file that may come from anywhere: nothing is made larger than the file says and the limits allow.

``np.load`` believes what a member says of its own size, and unpacks what was compressed a thousandfold.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line

MAX_BYTES = 64 << 20
_MAX_MEMBERS, _MAX_DIRECTORY_BYTES = 32, 1 << 16
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Kind(NamedTuple):
    """What an array has to be: ``most`` is the longest first dimension."""

    dtype: type[np.generic]
    ndim: int
    most: int = MAX_BYTES


def read_arrays(
    path: Path, needed: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None
) -> dict[str, NDArray[Any]]:
    """The named arrays of a file; those of ``optional`` that it has not are left out, all others are not looked at.

    Raises:
        UserError: the file is missing, damaged, larger than 64 MiB or compressed; an array is missing or of another
            kind.
    """
    kinds = {**needed, **(optional or {})}
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"{size} bytes, at most {MAX_BYTES} are accepted")
        _check_directory(path, size)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(names) > _MAX_MEMBERS or len(set(names)) < len(names):
                raise ValueError("too many members, or one twice")
            if missing := [name for name in needed if f"{name}.npy" not in names]:
                raise ValueError(f"no array {', '.join(missing)} in it")
            found = {name: member for name in kinds for member in members if member.filename == f"{name}.npy"}
            return {name: _array(archive, member, name, kinds[name]) for name, member in found.items()}
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged files
        raise UserError(
            f"{path} cannot be read ({one_line(str(error), 200) or type(error).__name__}): make the bundle again"
        ) from error


def _check_directory(path: Path, size: int) -> None:
    """The list of members, which zipfile reads whole, stands at the end, with its length in the last 22 bytes."""
    with path.open("rb") as stream:
        stream.seek(max(0, size - 22))
        end = stream.read(22)
    if end[:4] != b"PK\5\6" or int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY_BYTES:
        raise ValueError("it does not end as an .npz file of numpy does")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, kind: Kind) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > MAX_BYTES:
        raise ValueError(f"{name}: compressed, or larger than {MAX_BYTES} bytes")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{name}: version {version} of numpy's format")
        shape, by_column, dtype = _HEADERS[version](stream)
        expected = f"expected {np.dtype(kind.dtype)} of {kind.ndim} dimensions, the first of at most {kind.most}"
        if dtype != np.dtype(kind.dtype) or len(shape) != kind.ndim or min(shape, default=1) < 0:
            raise ValueError(f"{name}: {dtype} {shape}, {expected}")
        count = 1
        for side in shape:  # numpy's own product would overflow
            count *= side
        if shape[:1] > (kind.most,) or count * dtype.itemsize > member.file_size:
            raise ValueError(f"{name}: {dtype} {shape} in {member.file_size} bytes, {expected}")
        data = stream.read()
    if count * dtype.itemsize != len(data):
        raise ValueError(f"{name}: {len(data)} bytes for the shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
