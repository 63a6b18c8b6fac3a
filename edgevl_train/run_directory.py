"""The run directory of ``edgevl adapt``: made once, or gone on with when it belongs to the same inputs."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from edgevl_core.base.atomic import atomic_write, check_place
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.json_text import to_json
from edgevl_core.bundle.labels import load_labels
from edgevl_train.data.cache import hash_bag
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe
from edgevl_train.sections import StudentSection
from edgevl_train.sharing import Share, alone
from edgevl_train.teacher.loading import Teacher, teacher_key

INPUTS_FILE = "inputs.json"
RECIPE_FILE = "recipe.yaml"
FLOAT_STUDENT = "checkpoints/stage1.pt"
LOCK_FILE = "run.lock"
# What a run has written when it is cut off before its inputs.json; and their temporary neighbours (see atomic_write).
BEFORE_INPUTS = (LOCK_FILE, "status.json", RECIPE_FILE, INPUTS_FILE)
_SOFTWARE = ("edgevl", "torch", "timm", "open_clip_torch", "lightning-fabric", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Inputs:
    """What a run is made from, as hashes; two runs with equal inputs give the same student."""

    bags: tuple[tuple[str, str], ...]
    teacher: str
    labels: str
    superset: str
    recipe: str
    first_weights: str = ""
    students: str = ""
    vocabulary: str = ""

    @property
    def fingerprint(self) -> str:
        """Hex digest of all of it; without what is empty and came later, for checkpoints of earlier versions."""
        known = repr(self).replace(", students=''", "").replace(", vocabulary=''", "")
        return hashlib.sha256(known.encode()).hexdigest()


def describe_inputs(
    bags: Sequence[Path],
    teacher: Teacher,
    labels: Path,
    superset: Path | None,
    recipe: Recipe,
    *,
    students: str = "",
    share: Share = alone,
) -> Inputs:
    """Hash everything that goes in; ``students``: the digest of those that answer in the teacher's place.

    Processes that ``share`` read a part of the bags each.
    """
    return Inputs(
        bags=tuple((Path(bag).name, digest) for bag, digest in zip(bags, share(bags, hash_bag), strict=True)),
        teacher=teacher_key(teacher),
        labels=sha256_file(labels),
        superset=sha256_file(superset) if superset is not None else "",
        recipe=hashlib.sha256(dump_recipe(recipe)).hexdigest(),
        first_weights=_hash_first_weights(recipe.student),
        students=students,
        vocabulary=_hash_words(recipe.vocabulary) if recipe.learns_vocabulary else "",
    )


def _hash_first_weights(student: StudentSection) -> str:
    if student.merge:
        each = [sha256_file(run / FLOAT_STUDENT) for run in student.merge]
        return hashlib.sha256(" ".join(each).encode()).hexdigest()
    if student.start_from is not None:
        return sha256_file(student.start_from / FLOAT_STUDENT)
    return sha256_file(student.pretrained) if isinstance(student.pretrained, Path) else ""  # the teacher has its own


def _hash_words(vocabulary: Path) -> str:
    return hashlib.sha256(load_labels(vocabulary).model_dump_json().encode()).hexdigest()


def check_out(out: Path, *, resume: bool) -> None:
    """Refuse a directory that would be written over, before anything slow is done.

    Raises:
        UserError: ``out`` exists and is not to be resumed, or is no run; another process is at work in it; or it cannot
            be made.
    """
    if not out.exists():
        check_place(out)
        return
    if not resume:
        raise UserError(f"run directory {out} exists: choose a new --out, or pass --resume to go on with it")
    if not _is_run(out):
        raise UserError(f"run directory {out} has no {INPUTS_FILE}: it is no run that could be resumed")
    check_nobody_at_work(out)


def _is_run(out: Path) -> bool:
    """Whether it has its inputs, or was cut off before it had them and holds nothing else."""
    if not out.is_dir():
        return False
    names = [path.name for path in out.iterdir()]
    temporary = tuple(f".{name}." for name in BEFORE_INPUTS)
    return INPUTS_FILE in names or all(name in BEFORE_INPUTS or name.startswith(temporary) for name in names)


def check_nobody_at_work(out: Path) -> None:
    """Refuse a directory in which another process works. Nothing is written.

    Raises:
        UserError: one does, it is named; or run.lock is no plain file.
    """
    if os.path.lexists(out / LOCK_FILE):
        with _locked(out, "r+"):
            """Nobody does."""


@contextmanager
def at_work(out: Path) -> Iterator[None]:
    """While the block runs, no other process works in this run directory; ended by whatever ends the process.

    Raises:
        UserError: one does already, it is named; or run.lock is no plain file, or cannot be written.
    """
    with _locked(out, "a+") as lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _locked(out: Path, mode: str) -> Iterator[IO[str]]:
    """The lock file, opened and locked."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(
                open(out / LOCK_FILE, mode, encoding="utf-8", errors="replace", opener=_open_itself)
            )
        except OSError as error:
            raise UserError(
                f"run directory {out}: its {LOCK_FILE} is no plain file that can be written to "
                f"({error.strerror or error}): remove it"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"run directory {out} is being worked on by process {lock.read(20).strip()}: wait "
                "for its end, or end it first"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield lock


def _open_itself(path: str, flags: int) -> int:
    """No link is followed, to a file that would be written over; and no pipe is waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def open_run(out: Path, inputs: Inputs, recipe: Recipe) -> Inputs:
    """Make the directory with recipe.yaml and inputs.json, or check that it belongs to these inputs.

    Recipes are compared by what they mean: one that was written before the recipe had some key means its default.

    Returns:
        The inputs as the run knows them, whose fingerprint its checkpoints bear.

    Raises:
        UserError: it was made from other inputs; they are named.
    """
    file = out / INPUTS_FILE
    mine = json.loads(json.dumps(vars(inputs)))
    if file.is_file():
        theirs = read_inputs(out)
        other = [name for name in mine if mine[name] != theirs.get(name, "")]
        if other == ["recipe"] and load_recipe(out / RECIPE_FILE) == recipe:
            return replace(inputs, recipe=theirs["recipe"])
        if other:
            raise UserError(
                f"run directory {out} was made with another {', '.join(other)}: resume with the same (the recipe is in "
                f"its {RECIPE_FILE}), or choose a new --out"
            )
        return inputs
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / RECIPE_FILE, dump_recipe(recipe))
    write_json(file, mine)
    return inputs


def read_inputs(run: Path) -> dict[str, Any]:
    """What a run's inputs.json says, see :class:`Inputs`; earlier versions know less.

    Raises:
        UserError: there is none, or it is damaged.
    """
    file = run / INPUTS_FILE
    if not file.is_file():
        raise UserError(f"{run} has no {INPUTS_FILE}: it is no run directory of `edgevl adapt`")
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}): copy the run again, or take another one") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; see :func:`edgevl_core.base.json_text.to_json`."""
    atomic_write(path, (to_json(content, indent=2) + "\n").encode())


def software_versions() -> dict[str, str]:
    """Versions of what decides the result; packages that are not installed as such are left out."""
    found = {}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
