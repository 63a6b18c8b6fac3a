"""``metrics.jsonl`` of a run: one line per stage and epoch, the truth of how a training went."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgevl_core.base.atomic import atomic_write

METRICS_FILE = "metrics.jsonl"
Record = dict[str, Any]
OnRecord = Callable[[Record], None]


class Scalars(NamedTuple):
    """The figures of one record as loggers have them: epoch, and value by ``<stage>/<name>``."""

    stage: str
    epoch: int
    values: dict[str, float]


def scalars(record: Record) -> Scalars:
    """A record of :func:`read_records` for a logger."""
    stage, epoch = record["stage"], record["epoch"]
    named = {name: value for name, value in record.items() if name not in ("stage", "epoch")}
    return Scalars(stage, epoch, {f"{stage}/{name}": float(value) for name, value in named.items()})


def read_records(run: Path) -> list[Record]:
    """The whole lines in a run's metrics.jsonl; a last one that was cut off is left out, and none is no error."""
    found, file = [], run / METRICS_FILE
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def write_record(run: Path, stage: str, epoch: int, metrics: Mapping[str, float]) -> Record:
    """Add a line; what a cut-off run has left of this stage for this epoch, or later ones, is replaced."""
    kept = [old for old in read_records(run) if not (old["stage"] == stage and old["epoch"] >= epoch)]
    record = {"stage": stage, "epoch": epoch, **{name: round(value, 6) for name, value in metrics.items()}}
    run.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each) + "\n" for each in (*kept, record)]
    atomic_write(run / METRICS_FILE, "".join(lines).encode())
    return record
