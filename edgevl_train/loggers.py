"""Loggers that people have, TensorBoard, MLflow, Weights & Biases, fed from a run's metrics.jsonl.

After a run (:func:`forward`) or beside it (:func:`following`), by the same way: each record's figures go to a sink.
metrics.jsonl stays the truth: a logger gets all of it, and one that fails ends nothing but itself.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from edgevl_core.base.atomic import FULL
from edgevl_core.base.errors import UserError, one_line
from edgevl_train.metrics_file import METRICS_FILE, OnRecord, Record, Scalars, read_records, scalars

PROJECT = "edgevl"
Sink = Callable[[Scalars], None]


@contextmanager
def _tensorboard(out: Path, name: str) -> Iterator[Sink]:
    """An event file, written here and now: SummaryWriter's thread would print a traceback of what fails."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    (out / name).mkdir(parents=True, exist_ok=True)
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)  # TensorBoard reads files in the order of their names
    with (out / name / f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}").open("xb") as stream:
        file = RecordWriter(stream)

        def write(**event: object) -> None:
            file.write(Event(wall_time=time.time(), **event).SerializeToString())

        def sink(figures: Scalars) -> None:
            for key, value in figures.values.items():
                write(step=figures.epoch, summary=Summary(value=[Summary.Value(tag=key, simple_value=value)]))
            file.flush()

        write(file_version="brain.Event:2")
        # A start at 0 hides what an earlier process wrote there of the same run, all of which is written again.
        write(session_log=SessionLog(status=SessionLog.START))
        file.flush()
        yield sink


def _mlflow_store(out: Path) -> str:
    """MLflow's own variable says where, a server for instance; without it a file in ``out``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out.resolve()}/mlflow.db"


@contextmanager
def _mlflow(out: Path, name: str) -> Iterator[Sink]:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        out.mkdir(parents=True, exist_ok=True)
        (out / "mlflow.db").open("ab").close()  # MLflow itself would try for minutes where it cannot
    client = MlflowClient(_mlflow_store(out))
    experiment = client.get_experiment_by_name(PROJECT)
    number = experiment.experiment_id if experiment else client.create_experiment(PROJECT)
    run_id = client.create_run(number, run_name=name).info.run_id

    def sink(figures: Scalars) -> None:
        now_ms = time.time_ns() // 1_000_000
        client.log_batch(run_id, [Metric(key, value, now_ms, figures.epoch) for key, value in figures.values.items()])

    status = "FAILED"
    try:
        yield sink
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


@contextmanager
def _wandb(out: Path, name: str) -> Iterator[Sink]:
    import wandb

    out.mkdir(parents=True, exist_ok=True)
    # Nothing is sent unless WANDB_MODE says so. Standard output stays ours: it has the progress bar.
    settings = wandb.Settings(console="off", silent=True)
    mode = os.environ.get("WANDB_MODE") or "offline"
    run = wandb.init(project=PROJECT, name=name, dir=str(out), mode=mode, settings=settings)
    stages = set[str]()

    def sink(figures: Scalars) -> None:
        step = f"{figures.stage}/epoch"
        if figures.stage not in stages:
            stages.add(figures.stage)
            run.define_metric(f"{figures.stage}/*", step_metric=step)
        run.log({step: figures.epoch, **figures.values})

    exit_code = 1
    try:
        yield sink
        exit_code = 0
    finally:  # as a context manager it would print the traceback of what ends the run
        run.finish(exit_code=exit_code)


class Logger(NamedTuple):
    """``library``: what must be installed; ``open``: (directory, run's name) -> sink; ``look``: how to see it there."""

    library: str
    open: Callable[[Path, str], AbstractContextManager[Sink]]
    look: Callable[[Path], str]


LOGGERS = {
    "tensorboard": Logger("tensorboard", _tensorboard, lambda out: f"tensorboard --logdir {out}"),
    "mlflow": Logger("mlflow", _mlflow, lambda out: f"mlflow ui --backend-store-uri {_mlflow_store(out)}"),
    "wandb": Logger("wandb", _wandb, lambda out: f"wandb sync {out}/wandb/offline-run-*"),
}


def check_logger(kind: str) -> None:
    """Whether a logger of this name can be used here.

    Raises:
        UserError: there is none of this name, or its library is not installed.
    """
    if kind not in LOGGERS:
        raise UserError(f"logger {kind!r}: {', '.join(LOGGERS)} are accepted")
    if not find_spec(LOGGERS[kind].library):
        library = LOGGERS[kind].library
        raise UserError(f"logger {kind}: {library} is not installed here: pip install {library}")


def forward(run: Path, kind: str, out: Path | None = None) -> str:
    """Write all of a run's metrics.jsonl to a logger.

    Args:
        run: the run directory, finished or not.
        kind: one of LOGGERS.
        out: where that logger keeps its runs, each under the name of its directory; None: ``run/<kind>``.

    Returns:
        How to look at it, one line.

    Raises:
        UserError: as :func:`check_logger`; there are no metrics in ``run``; the logger fails.
    """
    check_logger(kind)
    if not (records := read_records(run)):
        raise UserError(f"{run} has no {METRICS_FILE} with a line in it: pass the run directory of an `edgevl adapt`")
    out = run / kind if out is None else out
    try:
        with LOGGERS[kind].open(out, run.resolve().name) as sink:
            for record in records:
                sink(scalars(record))
    except Exception as error:  # whatever such a library raises
        room = "make room, or " if isinstance(error, OSError) and error.errno in FULL else ""
        raise UserError(f"logger {kind} in {out} failed ({_reason(error)}): {room}choose another --out") from error
    return LOGGERS[kind].look(out)


@contextmanager
def following(kinds: Sequence[str], run: Path, say: Callable[[str], None]) -> Iterator[OnRecord]:
    """Loggers that are told of each record as it is written, in ``run/<kind>``.

    A process that goes on with a run begins with what the run has so far, so a logger's newest run is whole. Where one
    fails, that is said once, with how to catch up, and nothing else ends.

    Args:
        kinds: of LOGGERS, each checked by :func:`check_logger`.
        say: where people read.
    """
    with ExitStack() as stack:
        followers = [stack.enter_context(_Follower(kind, run, say)) for kind in kinds]

        def on_record(record: Record) -> None:
            for follower in followers:
                follower(record)

        yield on_record


class _Follower:
    """One logger beside a run; opened by the first record, for until then the directory may be no run yet."""

    def __init__(self, kind: str, run: Path, say: Callable[[str], None]) -> None:
        self._kind, self._run, self._say = kind, run, say
        self._open = ExitStack()
        self._sink: Sink | None = None
        self._lost = False

    def __call__(self, record: Record) -> None:
        if self._lost:
            return
        try:
            records = [record]
            if self._sink is None:
                directory = self._run / self._kind
                self._sink = self._open.enter_context(LOGGERS[self._kind].open(directory, self._run.resolve().name))
                records = read_records(self._run)
            for each in records:
                self._sink(scalars(each))
        except Exception as error:  # whatever such a library raises
            self._lose(error)

    def __enter__(self) -> "_Follower":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._open.__exit__(kind, error, trace)
        except Exception as fault:
            if fault is not error and not self._lost:
                self._lose(fault)

    def _lose(self, error: Exception) -> None:
        self._lost = True
        self._say(
            f"warning: logger {self._kind} failed ({_reason(error)}) and is left out; {METRICS_FILE} goes on: later "
            f"`edgevl report {self._run} --to {self._kind} --out DIR` writes all of it"
        )


def _reason(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 200)
