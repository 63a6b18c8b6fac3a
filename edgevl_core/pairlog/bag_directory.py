"""A bag's new directory, held by a descriptor: it stays at hand when somebody renames it, as one does to keep a log."""

import os
from pathlib import Path

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.lock import try_lock
from edgevl_core.pairlog.metadata import METADATA_NAME


class BagDirectory:
    """Made here, and locked, so that retention leaves it alone.

    Attributes:
        inside: its path for writing into it, whatever it is called now.

    Raises:
        UserError: it exists, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise UserError(f"{path} exists already: choose a new name for the bag, or remove it first") from None
        except OSError as error:
            raise UserError(f"{path} cannot be made ({error.strerror}): choose another place") from error
        self._path = path
        self._released = False
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.inside = Path(f"/proc/self/fd/{self._descriptor}")
        self._lock = try_lock(path)

    @property
    def path(self) -> Path:
        """Where it is now; once it is released, where it was then."""
        if self._released or self._is_at(self._path):
            return self._path
        return Path(str(self.inside.readlink()).removesuffix(" (deleted)"))

    @property
    def removed(self) -> bool:
        """Whether somebody has deleted it."""
        return not (self.path.is_dir() if self._released else self._is_at(self.path))

    def write_metadata(self, text: bytes) -> None:
        """Replace metadata.yaml, whole or not at all."""
        atomic_write(self.inside / METADATA_NAME, text)

    def make_durable(self, descriptor: int, metadata: bytes) -> None:
        """Bring an open file, and metadata.yaml that tells of it, to the disk."""
        os.fsync(descriptor)
        self.write_metadata(metadata)

    def release(self) -> None:
        """Let go of it."""
        self._path, self._released = self.path, True
        os.close(self._descriptor)
        if self._lock is not None:
            os.close(self._lock)

    def _is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False
