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
    path = Path(path)
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if is_storage(f) or f.suffix == ".db3-wal")
    lines = (f"{file.name} {sha256_file(file)}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_test_bags(test: Sequence[Path], bags: Sequence[Path], settings: PairSettings) -> None:
    """Refuse bags to test on that cannot be read, or that are learned from: a copy under another name as well.

    Args:
        bags: the training bags, which exist; settings: which pairs of ``test``.

    Raises:
        UserError: naming the bag.
    """
    check_given_once(test, "--test bags")
    known = {hash_bag(bag): bag for bag in bags} if test else {}
    for path in test:
        expected_pairs(path, settings)
        if (bag := known.get(hash_bag(path))) is not None:
            raise UserError(
                f"--test {path} is the training bag {bag}: figures on it say nothing of other places; pass a bag that "
                "was not learned from"
            )
