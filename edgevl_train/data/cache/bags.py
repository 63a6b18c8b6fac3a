"""Which bags: paths and patterns to bags, and their hashes."""

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.pairlog.pairs import PairSettings, expected_pairs
from edgevl_core.pairlog.reader import check_given_once, is_storage


def find_bags(patterns: Sequence[Path | str]) -> list[Path]:
    """The bags that paths and glob patterns (``logs/*``, ``**`` for any depth) name, in order; a pattern's by name.

    What exists under its literal name is that path, even with a ``*`` or ``[`` in it.

    Raises:
        UserError: none given, or a pattern that matches nothing.
    """
    if not patterns:
        raise UserError("no bags given: at least one rosbag2 directory is needed")
    found: list[Path] = []
    for pattern in patterns:
        if Path(pattern).exists() or not glob.has_magic(str(pattern)):
            found.append(Path(pattern))
            continue
        matches = sorted(glob.glob(str(pattern), recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        if not matches:
            raise UserError(
                f"bags {str(pattern)!r}: the pattern matches nothing; give rosbag2 directories or .mcap files"
            )
        found += map(Path, matches)
    return found


def hash_bag(path: Path) -> str:
    """SHA-256 over the names and contents of a bag's storage files (metadata.yaml aside: it may be rewritten)."""
    lines = (f"{file.name} {sha256_file(file)}" for file in _storage_files(Path(path)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _storage_files(path: Path) -> list[Path]:
    """Of a bag, or of one that is named by its file; SQLite's log of what is not in its file yet is part of it."""
    if path.is_file():
        return [file for file in (path, path.with_name(f"{path.name}-wal")) if file.is_file()]
    return sorted(file for file in path.rglob("*") if is_storage(file) or file.suffix == ".db3-wal")


def copied_from(bag: Path, others: Sequence[Path]) -> Path | None:
    """The first of ``others`` that has a storage file of ``bag``, under whatever name; None: it has files of its own.

    Only files of the same size are read.
    """
    own: dict[int, list[Path]] = {}
    for file in _storage_files(Path(bag)):
        own.setdefault(file.stat().st_size, []).append(file)
    for other in others:
        for file in _storage_files(Path(other)):
            alike = own.get(file.stat().st_size, ()) if file.stat().st_size else ()
            if alike and sha256_file(file) in map(sha256_file, alike):
                return other
    return None


def check_recorded_once(bags: Sequence[Path]) -> None:
    """Refuse bags that share a recording: validation would hold pairs that are learned from.

    Raises:
        UserError: naming two of them.
    """
    for number, bag in enumerate(bags):
        if (other := copied_from(bag, bags[:number])) is not None:
            raise UserError(f"bags {other} and {bag} hold the same recording: give it once")


def check_test_bags(test: Sequence[Path], bags: Sequence[Path], settings: PairSettings) -> None:
    """Refuse bags to test on that cannot be read, or that are learned from: a copy under other names as well.

    Args:
        bags: the training bags, which exist; settings: which pairs of ``test``.

    Raises:
        UserError: naming the bag.
    """
    check_given_once(test, "--test bags")
    for path in test:
        expected_pairs(path, settings)
        if (bag := copied_from(path, bags)) is not None:
            raise UserError(
                f"--test {path} is the training bag {bag}: figures on it say nothing of other places; pass a bag that "
                "was not learned from"
            )
