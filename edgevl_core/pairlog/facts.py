"""What pair_logger said of its own log: reduced, compressed, registered."""

import struct
from pathlib import Path

from mcap.exceptions import McapError
from mcap.reader import SeekingReader

from edgevl_core.pairlog.metadata import METADATA_NAME
from edgevl_core.pairlog.retention import MARK


def log_facts(files: list[Path]) -> dict[str, str]:
    """The facts of a log, by name; none of a bag that pair_logger did not write.

    Args:
        files: storage files of a bag; where facts differ, the last file's hold. One whose index a power cut took says
            nothing.
    """
    facts: dict[str, str] = {}
    for file in files:
        if file.suffix != ".mcap":
            continue
        with open(file, "rb") as stream:
            try:
                for record in SeekingReader(stream).iter_metadata():
                    facts |= record.metadata if record.name == MARK else {}
            except (McapError, struct.error, ValueError):
                continue
    return facts


def storage_files(bag: Path) -> list[Path]:
    """The files that hold a bag's messages, in the order of writing; ``bag``: a directory or a file."""
    if bag.is_file():
        return [bag]
    files = [file for file in bag.iterdir() if file.is_file() and file.name != METADATA_NAME]
    return sorted(files, key=lambda file: (len(file.name), file.name))  # _9 before _10
