"""What an adaptation is told and what it tells: files beside its run directory. No ROS.

For a run directory RUN: RUN.plan.json (what to do), RUN.progress.json (how it goes), RUN.log (output). RUN itself is
made by `edgevl adapt`, which refuses one that exists.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError

Record = TypeVar("Record", bound=BaseModel)


class BundleRef(BaseModel):
    """A student bundle: its directory and its id."""

    model_config = ConfigDict(frozen=True)

    path: str
    id: str


class Remote(BaseModel):
    """A workstation that adapts for the robot.

    Attributes:
        host: for ssh, ``name`` or ``user@name``.
        directory: for bags and runs, there.
        command: the edgevl program there.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    directory: str
    command: tuple[str, ...]


class Plan(BaseModel):
    """One adaptation, and how its bundle is judged.

    Attributes:
        run: the run directory on this machine.
        program: the edgevl command of this machine; unused where ``remote`` is set.
        current: the bundle to beat; None: there is none.
        start_from: the run whose student training begins with; None: a new one.
        held_back: bags to compare on, newest last; empty: the bundle is not compared.
        min_gain, max_loss: see :func:`edgevl_core.adaptation.acceptance.verdict`.
        signing_key: private key, where the adaptation runs, that signs the bundle; "": it is not signed.
        reason: why it was started.
    """

    model_config = ConfigDict(frozen=True)

    run: Path
    program: tuple[str, ...]
    bags: tuple[str, ...]
    teacher: str
    labels: str
    recipe: str = ""
    overrides: tuple[str, ...] = ()
    remote: Remote | None = None
    current: BundleRef | None = None
    start_from: Path | None = None
    held_back: tuple[str, ...] = ()
    min_gain: float = 0.0
    max_loss: float = 0.0
    signing_key: str = ""
    reason: str = ""


class Progress(BaseModel):
    """How a run goes, as ``edgevl adapt`` writes it to RUN/status.json: progress 0..1 of the whole, eta in seconds.

    Attributes:
        refused: why the bundle should not be used; empty: it may.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "succeeded", "failed", "cancelled"]
    stage: str = ""
    progress: float = 0.0
    eta_s: float | None = None
    message: str = ""
    bundle_path: str = ""
    bundle_id: str = ""
    exit_code: int | None = None
    refused: str = ""


def plan_file(run: Path) -> Path:
    """Where the plan of a run is."""
    return run.with_name(f"{run.name}.plan.json")


def progress_file(run: Path) -> Path:
    """Where the progress of the whole job is."""
    return run.with_name(f"{run.name}.progress.json")


def log_file(run: Path) -> Path:
    """Where the output of all its programs is."""
    return run.with_name(f"{run.name}.log")


def parse(kind: type[Record], content: bytes, source: object) -> Record:
    """A record from its JSON.

    Raises:
        UserError: the content is no such record; ``source`` names it.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"{source}: not a {kind.__name__.lower()} record: {error.errors()[0]['msg']}") from error


def read(kind: type[Record], path: Path) -> Record | None:
    """A record from its file; None where there is none yet (it is replaced atomically, never half written).

    Raises:
        UserError: the file is there and is no such record.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return parse(kind, content, path)


def write(path: Path, record: BaseModel) -> None:
    """Write a record, whole or not at all. Raises UserError where it cannot be written."""
    try:
        atomic_write(path, record.model_dump_json(indent=2).encode())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): make room there, or set another out_dir"
        ) from error


def adapt_arguments(
    bags: Sequence[str],
    teacher: str,
    labels: str,
    out: str,
    recipe: str,
    overrides: Sequence[str],
    signing_key: str = "",
) -> list[str]:
    """Arguments of ``edgevl adapt``; an empty recipe is left to its default.

    What is no option comes last, behind ``--``: a bag may be called like one.
    """
    arguments = ["adapt", "--teacher", teacher, "--labels", labels, "--out", out]
    if recipe:
        arguments += ["--recipe", recipe]
    for override in overrides:
        arguments += ["--set", override]
    if signing_key:
        arguments += ["--sign", signing_key]
    return [*arguments, "--", *bags]
