"""What comes from elsewhere is tried in a process of its own, with limits, before it is loaded where it is to work.

Whatever it does there, the robot's node goes on: a network that never ends or takes all memory ends its own process.
The child is a fresh Python, no fork: threads of DDS do not survive one.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import STUDENT_FP32, STUDENT_INT8
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, real_path
from edgevl_core.bundle.signature import signed_manifest
from edgevl_core.bundle.student_bundle import Bundle, Precision, load_bundle
from edgevl_core.bundle.text_encoder import TEXT_ENCODER_FILE, OnnxTextEncoder
from edgevl_core.bundle.vocabulary import check_encoder
from edgevl_core.engine import CPU_ONLY, ENGINES, Engine, inspect_onnx


class Limits(NamedTuple):
    """What a self-test may take: processor time, time, and memory beside six times the size of both students.

    Once the students are through, a text encoder may take six times its own size more.
    """

    processor_s: int = 20
    wall_s: int = 60
    memory_bytes: int = 1 << 30


class Tried(NamedTuple):
    """What was verified: the bundle's id, and what of it could not be checked (empty: nothing)."""

    bundle_id: str
    unchecked: str


LIMITS = Limits()
_MODULE = "edgevl_core.bundle.self_test"  # __name__ is another one in the child
_OK = "ok "
_opened: set[tuple[Any, ...]] = set()  # what came well out of it in this process, by its content
_STUDENTS = (STUDENT_INT8, STUDENT_FP32)
_TIMES_NETWORKS = 6  # as stored, as the runtime packs them, and their activations


def open_untrusted(
    path: Path | str,
    *,
    threads: int = 1,
    providers: Sequence[str] = CPU_ONLY,
    engine: str = ENGINES[0],
    precision: Precision = "auto",
    fall_back: bool = False,
    trusted: Sequence[str] = (),
) -> Bundle:
    """A bundle from elsewhere: tried in a child process, and loaded here only if it came out of that well.

    What this process has made itself needs no trial: :func:`edgevl_core.bundle.student_bundle.load_bundle`.

    Args:
        threads and all others: of ``load_bundle``. What ``path`` really names, links followed, is the result's
            ``path``: a link may point elsewhere a minute later.

    Raises:
        UserError: it is refused, see :func:`try_bundle`.
    """
    path = real_path(path)  # once for both
    how: dict[str, Any] = {"providers": tuple(providers), "engine": engine, "precision": precision}
    how |= {"fall_back": fall_back, "trusted": tuple(trusted)}
    content = _content(path)
    known = (content, *how.values())
    if not content or known not in _opened:
        try_bundle(path, **how)
    bundle = load_bundle(path, threads=threads, both=False, **how)  # the child has tried the other student
    _opened.add(known)
    return bundle


def _content(bundle: Path) -> str:
    """Hex digest of all its files: the manifest has their hashes, which loading checks. "": it cannot be read."""
    manifest = bundle / MANIFEST_FILE
    try:
        small = manifest.is_file() and manifest.stat().st_size <= MAX_MANIFEST_BYTES
        return sha256_file(manifest) if small else ""
    except OSError:
        return ""


def try_bundle(
    path: Path | str,
    *,
    providers: Sequence[str] = CPU_ONLY,
    engine: str = ENGINES[0],
    precision: Precision = "auto",
    fall_back: bool = False,
    trusted: Sequence[str] = (),
    limits: Limits = LIMITS,
) -> Tried:
    """Load a bundle in a child process, both students, as :func:`edgevl_core.bundle.student_bundle.load_bundle` does.

    What is meant for a GPU is tried on the CPU. A text encoder makes the vector of the bank's first label again.

    Returns:
        What was verified, as the child read it.

    Raises:
        UserError: it is refused, takes more than ``limits``, or ends its process.
    """
    path = real_path(path)
    if trusted:
        signed_manifest(path, trusted)  # no process is started for a stranger's
    on_cpu = tuple(providers) == CPU_ONLY
    return Tried(
        *run_apart(
            f"{_MODULE}:_run_bundle",
            path,
            limits,
            engine=engine if on_cpu else ENGINES[0],
            precision=precision if on_cpu else "float",
            fall_back=fall_back,
            trusted=list(trusted),
        )
    )


def try_student(file: Path, limits: Limits = LIMITS) -> None:
    """Run a student's ONNX file once in a child process, where it has come without its bundle or from another machine.

    Raises:
        UserError: it is no student, takes more than ``limits``, or ends its process.
    """
    run_apart(f"{_MODULE}:_run_student", real_path(file), limits)


def run_apart(task: str, path: Path, limits: Limits = LIMITS, **arguments: object) -> Any:
    """Call ``function(path, limits, **arguments)`` in a child process, which may take no more than ``limits``.

    Args:
        task: "module:function" of this package; the function begins with :func:`limit_memory`.
        arguments: what JSON can hold, as is the function's result.

    Raises:
        UserError: the function's own; it takes more than ``limits``, or ends its process.
    """
    request = json.dumps([task, str(path), limits, arguments])
    package = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": python_path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        # In /, because Python looks for modules where it is started.
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, request],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(path, f"took more than {limits.wall_s} s") from error
    answer = done.stdout.decode("utf-8", "replace").splitlines()[-1:]
    if done.returncode == 0 and answer and answer[0].startswith(_OK):
        return json.loads(answer[0].removeprefix(_OK))
    if done.returncode == 2 and answer:
        raise UserError(answer[0])
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _refused(path, f"took more than {limits.processor_s} s of processor time, or all memory")
    ending = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    raise _refused(path, f"ended with {ending} ({one_line(''.join(said), 150) or 'nothing said'})")


def _refused(path: Path, what: str) -> UserError:
    return UserError(f"{one_line(str(path), 200)}: its self-test {what}: it is refused; make it again")


def main(request: str) -> int:
    """The child: exit code 0 and the task's result, or 2 and why what was tried is refused."""
    os.nice(5)  # the robot's own work goes first
    task, path, given, arguments = json.loads(request)
    limits, (module, _, function) = Limits(*given), task.partition(":")
    _limit_time(limits)
    try:
        result = getattr(import_module(module), function)(Path(path), limits, **arguments)
    except UserError as error:
        print(error)
        return 2
    print(_OK + json.dumps(result))
    return 0


def _run_bundle(path: Path, limits: Limits, **arguments: Any) -> Tried:
    limit_memory(limits, [path / name for name in _STUDENTS])
    bundle = load_bundle(path, **arguments)
    if bundle.text_encoder is not None and find_spec("tokenizers") is not None:  # else it cannot run here at all
        # Only now, as it is known that the bundle lists it: any other file would buy the students memory.
        limit_memory(limits, [path / name for name in (*_STUDENTS, TEXT_ENCODER_FILE)])
        _try_text_encoder(bundle.label_bank, bundle.text_encoder)
    return Tried(bundle.manifest.bundle_id, bundle.manifest.unchecked)


def _run_student(file: Path, limits: Limits) -> None:
    limit_memory(limits, [file])
    inspect_onnx(file)
    student = Engine(file)
    try:
        student(np.zeros((1, 3, student.size_px, student.size_px), np.uint8))
    except Exception as error:  # ONNX Runtime's own kinds
        raise _refused(file, f"ended with {one_line(str(error), 150)}") from error


def _try_text_encoder(bank: LabelBank, directory: Path) -> None:
    try:
        check_encoder(bank, OnnxTextEncoder(directory))
    except UserError as error:
        raise UserError(one_line(f"{directory}: {error}")) from error
    except Exception as error:  # foreign bytes can make the libraries raise anything
        raise _refused(directory, f"of {TEXT_ENCODER_FILE} ended with {one_line(str(error), 150)}") from error


def limit_memory(limits: Limits, networks: Sequence[Path]) -> None:
    """Memory that the process can write to, not its mappings of files and libraries, by the size of what it runs."""
    size = sum(network.stat().st_size for network in networks if network.is_file())
    most = limits.memory_bytes + _TIMES_NETWORKS * size
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _limit_time(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limits.processor_s, limits.processor_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(limits.wall_s)  # also where the parent is gone


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
