"""Lists of names, one a line, that say which part of a collection is wanted."""

from collections.abc import Callable, Collection
from pathlib import Path

from edgevl_core.base.errors import UserError


def read_names(file: Path, name_of: Callable[[str], str] = str) -> set[str]:
    """The names of a list file, each line stripped and passed through ``name_of``; empty lines do not count.

    Raises:
        UserError: there is no such text file, or it is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--split {file} cannot be read ({error}): give a text file with one name a line") from error
    names = {name_of(line.strip()) for line in lines if line.strip()}
    if not names:
        raise UserError(f"--split {file} names nothing: give a text file with one name a line")
    return names


def wanted(names: set[str], present: Collection[str], listing: str) -> list[str]:
    """A note on the names that the collection lacks, if any: half a download must not pass for the whole.

    Raises:
        UserError: it has none of them.
    """
    absent = sorted(names.difference(present))
    if len(absent) == len(names):
        raise UserError(
            f"--split {listing}: none of its {len(names)} names is in the collection (its first is {absent[0]}, the "
            f"collection's {min(present, default='missing')}): give the list that belongs to it"
        )
    return [f"{len(absent)} of the {len(names)} names in {listing} are missing, {absent[0]} first"] if absent else []
