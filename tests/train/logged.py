"""What loggers hold, read back with their own readers, as ``{"stage/name": [(epoch, value), ...]}``."""

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from edgevl_train.metrics_file import Record, scalars

_BLOCK, _FULL, _LAST = 32768, 1, 4
Curves = dict[str, list[tuple[int, float]]]


def curves(records: Iterable[Record]) -> Curves:
    """What a logger should hold of these records."""
    found: Curves = {}
    for record in records:
        figures = scalars(record)
        for name, value in figures.values.items():
            found.setdefault(name, []).append((figures.epoch, value))
    return found


def almost(curves: Curves) -> dict[str, object]:
    """As float32 has them."""
    return {name: [pytest.approx(point, rel=1e-6) for point in points] for name, points in curves.items()}


def in_tensorboard(directory: Path) -> Curves:
    """A run's directory; values are float32 there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory)).Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def in_mlflow(store: Path) -> dict[str, list[Curves]]:
    """By run name, the newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    found: dict[str, list[Curves]] = {}
    for run in client.search_runs([client.get_experiment_by_name("edgevl").experiment_id]):
        assert run.info.status == "FINISHED"
        histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        of_run = {name: [(each.step, each.value) for each in history] for name, history in histories.items()}
        found.setdefault(run.info.run_name, []).append(of_run)
    return found


def in_wandb(directory: Path) -> Curves:
    """Of the only offline run in a directory."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord

    (file,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    found: Curves = {}
    for data in _leveldb_records(file.read_bytes()):
        record = WandbRecord()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") != "history":
            continue
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        steps = [value for key, value in row.items() if key.endswith("/epoch")]
        for key, value in row.items():
            if not key.startswith("_") and not key.endswith("/epoch"):
                found.setdefault(key, []).append((steps[0], value))
    return found


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, for which wandb has no reader in Python: LevelDB's log format after 7 bytes."""
    at, record = 7, b""
    while at + 7 <= len(data):
        if (left := _BLOCK - at % _BLOCK) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (_FULL, _LAST):
            yield record
            record = b""
