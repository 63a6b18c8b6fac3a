"""A bag made from other data appears whole or not at all (a live log is there from its first second)."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgevl_core.base.atomic import fsync_directory, writing
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.writer import BagWriter

_CENTURY_S = 3.2e9


@contextmanager
def staged_bag(path: Path | str, compression: str = "zstd") -> Iterator[BagWriter]:
    """Yield a writer whose bag becomes ``path`` when the block ends without an error, else is removed.

    Raises:
        UserError: ``path`` exists already, or cannot be written.
    """
    path = Path(path)
    with writing(path):
        if path.exists():
            raise UserError(f"{path} exists already: choose a new name for the bag, or remove it first")
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        # Nothing is to be saved from a half-made bag: no syncs but the one that closes it. Segments are cut by
        # size alone: the stamps of a collection may span weeks.
        bag = staging / path.name
        with BagWriter(bag, compression=compression, sync_interval_s=float("inf"), max_segment_s=_CENTURY_S) as writer:
            yield writer
        with writing(path):
            bag.rename(path)
        fsync_directory(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
