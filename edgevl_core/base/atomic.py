"""Artefacts appear whole or not at all: written to a temporary neighbour, fsynced, renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgevl_core.base.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: a disk or file that takes no more


class NotWritten(UserError, OSError):
    """What could not be written, and why; ``errno`` and ``strerror`` as of the OSError that it comes from."""


def _not_written(path: Path | str, error: OSError) -> NotWritten:
    made = NotWritten(
        f"{path} cannot be written ({error.strerror or error}): make room, or name a new place that can be written to"
    )
    made.errno, made.strerror = error.errno, error.strerror
    return made


def check_place(path: Path | str) -> None:
    """Refuse what could not be made, with the directories above it: said before anything slow is done.

    Raises:
        UserError: it lies where nothing can be made.
    """
    with writing(path):
        place = next(each for each in Path(path).absolute().parents if each.exists())
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise UserError(f"{path} cannot be made: {place} is no directory that can be written to, choose another")


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Raises NotWritten of ``path`` where the block, which makes it, has an OSError."""
    try:
        yield
    except UserError:  # some are OSErrors, and say more
        raise
    except OSError as error:
        raise _not_written(path, error) from error


def fsync_directory(path: Path) -> None:
    """Make the names inside ``path`` durable (a rename is only safe once its directory is synced)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_write(path: Path | str, data: bytes) -> None:
    """Replace ``path`` by ``data``: a reader sees the old content or the new, never a part.

    Raises:
        NotWritten: it cannot be written; what was there is left as it was.
    """
    path = Path(path)
    with writing(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)  # mkstemp makes 0600; an artefact is for everybody
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary directory that becomes ``path`` when the block ends without an error.

    Raises:
        UserError: ``path`` exists already (nothing is ever written over), or cannot be written.
    """
    path = Path(path)
    with writing(path):
        if path.exists():
            raise UserError(f"{path} exists already: choose a new name, or remove it first")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        try:
            yield temporary
        except OSError as error:
            if isinstance(error, UserError) or error.errno not in FULL:  # of what it reads
                raise
            raise _not_written(path, error) from error
        with writing(path):
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
            temporary.chmod(0o755)
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(path.parent)
