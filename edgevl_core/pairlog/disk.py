"""Stop writing while there is still room to close what is being written."""

import shutil
from collections.abc import Callable
from pathlib import Path

from edgevl_core.base.errors import UserError

_CHECK_BYTES = 8 * 1024 * 1024


class DiskFloorReached(UserError):
    """Free space fell to the floor: this message was not written, all before it are safe; close the bag."""


class WriteFailed(UserError, OSError):
    """The disk refused a write: the bag has ended at its last whole record, and takes no more."""


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write on the disk that holds ``path``."""
    return shutil.disk_usage(path).free


class DiskFloor:
    """Allows writes until the free space of a disk has fallen to ``min_free_bytes``."""

    def __init__(self, path: Path, min_free_bytes: int, free: Callable[[Path], int]) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._free = free
        self._allowance = 0  # bytes that may be written before the disk is asked again: asking costs a system call

    def spend(self, size: int) -> None:
        """Account for ``size`` bytes about to be written.

        Raises:
            DiskFloorReached: they would bring the free space below the floor.
        """
        self._allowance -= size
        if self._allowance > 0:
            return
        free = self._free(self._path)
        spare = free - size - self._min_free_bytes
        if spare <= 0:
            raise DiskFloorReached(
                f"{self._path}: {free / 1e6:.0f} MB are free, the floor is {self._min_free_bytes / 1e6:.0f} "
                "MB: free some space, or lower the floor"
            )
        self._allowance = min(_CHECK_BYTES, spare)
