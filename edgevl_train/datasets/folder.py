"""A folder of RGB and depth image files, listed in pairs.csv.

pairs.csv has the columns stamp_s (seconds, ascending), rgb (a JPEG or PNG file) and depth (a 16-bit PNG of
millimetres, 0 = no measurement), with paths below the folder, relative to it; and, where it is known, room (the truth,
for evaluation only; empty = not known) and sequence (the name of the place or recording; its lines follow each other).
Other columns are not read.
"""

import csv
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.files import RGB_FORMATS, read_files
from edgevl_train.datasets.sample import Collection, Sample, apart_by_scene

PAIRS = "pairs.csv"
COLUMNS = ("stamp_s", "rgb", "depth")
LAST_S = 2**31  # what the stamp of a message holds
LAYOUT = f"a folder with {PAIRS} ({', '.join(COLUMNS)}, and room and sequence if known)"


def fits(source: Path) -> bool:
    """Whether ``source`` is such a folder."""
    return (source / PAIRS).is_file()


def collect(source: Path, split: str | None = None) -> Collection:
    """The pairs of the table, with its own stamps except where these hide its sequences (the notes then say so).

    Raises:
        UserError: no pairs.csv, a column or value is wrong, stamps go back, a sequence is named on some lines only or
            comes back later, or a split is asked for.
    """
    if split is not None:
        raise UserError(f"--split {split}: a folder with {PAIRS} has no splits; leave --split out")
    samples, notes = apart_by_scene(_read_rows(source))
    return Collection(samples, notes=notes)


def _read_rows(source: Path) -> list[Sample]:
    table = source / PAIRS
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise UserError(
                    f"{table} has no column {', '.join(missing)} (it has "
                    f"{', '.join(reader.fieldnames or [])}): the first line must name {', '.join(COLUMNS)}"
                )
            rows = [_row(source, table, number, fields) for number, fields in enumerate(reader, start=2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV text ({error}): save it as UTF-8 CSV") from error
    if not rows:
        raise UserError(f"{table} lists no pairs: add lines with {', '.join(COLUMNS)}")
    for number, (before, after) in enumerate(pairwise(rows), start=3):
        if after.stamp_ns <= before.stamp_ns:
            raise UserError(
                f"{table} line {number}: stamp_s {after.stamp_ns / 1e9} does not come after "
                f"{before.stamp_ns / 1e9}: sort the lines by stamp_s, without repeats"
            )
    _check_sequences(table, [row.scene for row in rows])
    return rows


def _check_sequences(table: Path, names: Sequence[str]) -> None:
    """All lines name their sequence or none does, and the lines of one follow each other."""
    if not any(names):
        return
    ended: set[str] = set()
    for number, (before, name) in enumerate(zip([names[0], *names], names), start=2):
        if not name:
            raise UserError(
                f"{table} line {number}: sequence is empty, but others are not: name it on all lines, or on none"
            )
        if name != before:
            ended.add(before)
        if name in ended:
            raise UserError(
                f"{table} line {number}: sequence {name!r} has ended on an earlier line: give this part another name"
            )


def _row(source: Path, table: Path, number: int, fields: dict[str | None, Any]) -> Sample:
    if surplus := fields.get(None):
        raise UserError(
            f"{table} line {number}: {len(surplus)} more fields than the first line names ({', '.join(surplus)!r}), "
            'which shifts its columns: quote a value that has a comma, "like, this"'
        )
    stamp, rgb, depth = (fields[name] or "" for name in COLUMNS)
    try:
        seconds = Decimal(stamp.strip())
        if not 0 <= seconds < LAST_S:
            raise ValueError
    except (InvalidOperation, ValueError):  # NaN is an InvalidOperation
        raise UserError(
            f"{table} line {number}: stamp_s {stamp!r} is no number of seconds from 0 to {LAST_S - 1}: "
            "give seconds, not milliseconds or nanoseconds"
        ) from None
    stamp_ns = int(seconds.scaleb(9).to_integral_value())
    if Path(rgb).suffix.lower() not in RGB_FORMATS:
        raise UserError(f"{table} line {number}: rgb {rgb!r} is no .jpg or .png file: convert it")
    if not depth:
        raise UserError(f"{table} line {number}: depth is empty: name a 16-bit PNG of millimetres")
    for name, file in (("rgb", rgb), ("depth", depth)):
        # A table from elsewhere must not choose what of this machine goes into the bag.
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise UserError(
                f"{table} line {number}: {name} {file!r} leads out of the folder: put the files, or a link to their "
                "folder, into it, and give paths relative to it"
            )
    room, sequence = ((fields.get(name) or "").strip() for name in ("room", "sequence"))
    return Sample(partial(read_files, source / rgb, source / depth), room, sequence, stamp_ns)
