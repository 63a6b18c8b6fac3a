"""Keep the logs of a folder within a budget: the oldest closed ones go first, and nothing else ever goes.

A folder is a log of ours when it holds nothing but segments named after it, its metadata.yaml, and the mark that
pair_logger puts into each segment. So a log is kept for good by renaming it or by putting any file into it.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path

from mcap.records import Metadata
from mcap.stream_reader import StreamReader

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.lock import try_lock
from edgevl_core.pairlog.metadata import METADATA_NAME

MARK = "edgevl_pair_log"
"""Name of the MCAP metadata record by which a log of pair_logger is known."""
_MARKED_BYTES = 100_000  # of a segment: header and mark take some hundred


@dataclass(frozen=True)
class StoredLog:
    """A log of ours; ``written_ns``: when it was last written to; ``in_use``: somebody writes it now."""

    path: Path
    bytes: int
    written_ns: int
    in_use: bool = False


def plan_removal(logs: Sequence[StoredLog], budget_bytes: int) -> list[StoredLog]:
    """The logs to remove so that the rest fit into ``budget_bytes``: the oldest not in use, no more than needed.

    Where those in use exceed the budget by themselves, all others are given.
    """
    excess = sum(log.bytes for log in logs) - budget_bytes
    chosen = []
    for log in sorted(logs, key=lambda log: (log.written_ns, log.path.name)):
        if excess <= 0:
            break
        if not log.in_use:
            chosen.append(log)
            excess -= log.bytes
    return chosen


def stored_logs(directory: Path) -> list[StoredLog]:
    """The logs of ours directly inside ``directory``; everything else there is passed over."""
    logs = []
    for path in directory.iterdir():
        segments = _segments(path)
        if not segments or not _is_marked(segments[0]):
            continue
        try:
            stats = [segment.stat() for segment in segments]
        except FileNotFoundError:  # somebody is removing it
            continue
        lock = try_lock(path)
        if lock is not None:
            os.close(lock)
        logs.append(StoredLog(path, sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats), lock is None))
    return logs


def make_room(directory: Path, budget_bytes: int) -> list[StoredLog]:
    """Remove the oldest closed logs of ``directory`` until the rest fit into ``budget_bytes``; those removed.

    Raises:
        UserError: a log could not be removed.
    """
    return [log for log in plan_removal(stored_logs(directory), budget_bytes) if _remove(log.path)]


def _remove(path: Path) -> bool:
    """Remove a log, if it is still one that nobody uses. Cut short, what is left is still a log."""
    lock = try_lock(path)
    if lock is None:
        return False
    try:
        segments = _segments(path)
        if segments is None:
            return False
        (path / METADATA_NAME).unlink(missing_ok=True)
        for file in [*_leftovers(path), *reversed(segments)]:
            file.unlink()
        path.rmdir()
    except OSError as error:
        raise UserError(
            f"{path}: the log cannot be removed ({error.strerror}), which max_total_mb asks for: move it away, or "
            "raise the budget"
        ) from error
    finally:
        os.close(lock)
    return True


def _segments(path: Path) -> list[Path] | None:
    """The segments of a log in order; None where it holds anything that pair_logger does not write."""
    if path.is_symlink() or not path.is_dir():
        return None
    try:
        files = list(path.iterdir())
    except OSError:  # another user's
        return None
    numbers = {}
    for file in files:
        if file.is_symlink() or not file.is_file():
            return None
        if match := re.fullmatch(re.escape(path.name) + r"_(\d+)\.mcap", file.name):
            numbers[int(match[1])] = file
        elif file.name != METADATA_NAME and not _is_leftover(file):
            return None
    return [numbers[number] for number in sorted(numbers)]


def _is_leftover(file: Path) -> bool:
    """The temporary neighbour of metadata.yaml, which a power cut may leave behind (see atomic_write)."""
    return file.name.startswith(f".{METADATA_NAME}.")


def _leftovers(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if _is_leftover(file)]


def _is_marked(segment: Path) -> bool:
    """Whether the mark is where pair_logger puts it: behind the header. A cut segment still has it."""
    try:
        with segment.open("rb") as stream:
            start = BytesIO(stream.read(_MARKED_BYTES))  # whatever lengths it states, no more is read
        records = list(islice(StreamReader(start, emit_chunks=True).records, 2))
    except Exception:  # another user's, cut, damaged, or no MCAP: such a file can make the library raise anything
        return False
    return any(isinstance(record, Metadata) and record.name == MARK for record in records)
