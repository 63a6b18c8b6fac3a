"""A run directory is worked in by one process; what was cut off at any moment can be gone on with."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import check_files
from edgevl_core.bundle.manifest import read_manifest
from edgevl_train.adapt import adapt
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe
from edgevl_train.run_directory import (
    BEFORE_INPUTS,
    INPUTS_FILE,
    LOCK_FILE,
    Inputs,
    at_work,
    check_nobody_at_work,
    check_out,
    describe_inputs,
    open_run,
    read_inputs,
    write_json,
)
from edgevl_train.teacher.loading import load_teacher
from tests.paths import ROOT
from tests.train.test_adapt import LABELS

WORK = (
    "import sys; from pathlib import Path; from edgevl_train.run_directory import at_work\n"
    "with at_work(Path(sys.argv[1])): print('at work', flush=True); sys.stdin.read()"
)


@pytest.mark.unit
def test_a_second_process_is_refused_by_the_first_ones_number(tmp_path: Path) -> None:
    (tmp_path / INPUTS_FILE).touch()
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    first = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "at work\n"
    said = f"is being worked on by process {first.pid}: "
    with pytest.raises(UserError, match=said):
        check_out(tmp_path, resume=True)
    with pytest.raises(UserError, match=said), at_work(tmp_path):
        pass
    first.kill()
    first.communicate()
    check_out(tmp_path, resume=True)  # nobody holds it any more
    with at_work(tmp_path):
        pass


@pytest.mark.unit
@pytest.mark.parametrize("names", [[], ["status.json"], ["status.json", "recipe.yaml", "run.lock", ".inputs.json.x1"]])
def test_what_was_cut_off_before_its_inputs_can_be_gone_on_with(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    check_out(tmp_path, resume=True)
    with pytest.raises(UserError, match="pass --resume"):
        check_out(tmp_path, resume=False)


@pytest.mark.unit
def test_a_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is no directory that can be written to"):
        check_out(tmp_path / "file" / "run", resume=False)


@pytest.mark.unit
@pytest.mark.parametrize("name", ["holiday.jpg", ".git", "cache", "inputs.json.old"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "status.json").touch()
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="is no run that could be resumed"):
        check_out(tmp_path, resume=True)
    with pytest.raises(UserError, match="is no run that could be resumed"):
        check_out(tmp_path / name, resume=True)


@pytest.mark.unit
def test_a_finished_block_leaves_the_directory_free(tmp_path: Path) -> None:
    with pytest.raises(KeyError), at_work(tmp_path):
        raise KeyError
    with (tmp_path / LOCK_FILE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.unit
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "directory"])
def test_a_lock_that_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A link in a run from elsewhere would empty the file that it leads to."""
    notes, lock = tmp_path / "notes.txt", tmp_path / "run" / LOCK_FILE
    notes.write_text("mine")
    lock.parent.mkdir()
    (tmp_path / "run" / INPUTS_FILE).touch()
    {
        "link": lambda: lock.symlink_to(notes),
        "link to nothing": lambda: lock.symlink_to(tmp_path / "new"),
        "pipe": lambda: os.mkfifo(lock),
        "directory": lock.mkdir,
    }[kind]()
    said = r"its run\.lock is no plain file that can be written to \(.+\): remove it"
    with pytest.raises(UserError, match=said):
        check_out(tmp_path / "run", resume=True)
    with pytest.raises(UserError, match=said), at_work(tmp_path / "run"):
        pass
    assert notes.read_text() == "mine"
    assert not (tmp_path / "new").exists()


@pytest.mark.unit
def test_a_check_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("12345")
    check_nobody_at_work(tmp_path)
    assert (tmp_path / LOCK_FILE).read_text() == "12345"


@pytest.mark.unit
def test_a_run_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """Its inputs.json does not know students and vocabulary, and its checkpoints bear a fingerprint without them."""
    recipe = load_recipe("demo")
    inputs = Inputs((("bag", "1"),), "teacher", "labels", "", hashlib.sha256(dump_recipe(recipe)).hexdigest(), "base")
    known = "Inputs(bags=(('bag', '1'),), teacher='teacher', labels='labels', superset='', recipe='{}', {})"
    told = known.format(inputs.recipe, "first_weights='base'")
    assert inputs.fingerprint == hashlib.sha256(told.encode()).hexdigest()
    open_run(tmp_path, inputs, recipe)
    theirs = read_inputs(tmp_path)
    del theirs["students"], theirs["vocabulary"]
    (tmp_path / INPUTS_FILE).write_text(json.dumps(theirs))
    assert open_run(tmp_path, inputs, recipe) == inputs
    for name in ("students", "vocabulary"):
        other = replace(inputs, **{name: "other"})
        assert other.fingerprint != inputs.fingerprint
        with pytest.raises(UserError, match=f"was made with another {name}: resume with the same"):
            open_run(tmp_path, other, recipe)
    (tmp_path / INPUTS_FILE).write_text("{")
    with pytest.raises(UserError, match=r"inputs\.json is damaged"):
        open_run(tmp_path, inputs, recipe)


@pytest.mark.train
def test_words_that_are_learned_by_belong_to_a_run(teacher_directory: Path, tmp_path: Path) -> None:
    teacher, words = load_teacher(f"open_clip:@{teacher_directory}"), tmp_path / "words.yaml"

    def made_from(weight: float) -> Inputs:
        recipe = load_recipe("demo", [f"vocabulary={words}", f"stage1.vocabulary_weight={weight}"])
        return describe_inputs([], teacher, LABELS, None, recipe)

    words.write_text("labels: [{name: attic}, {name: cellar}]")
    learned, unused = made_from(0.5), made_from(0)
    words.write_text("labels: [{name: attic}, {name: cellar}]  # no other words")
    assert made_from(0.5) == learned
    words.write_text("labels: [{name: attic}, {name: garage}]")
    assert made_from(0.5).fingerprint != learned.fingerprint
    assert made_from(0) == unused


@pytest.mark.unit
def test_what_is_no_number_is_null_in_json(tmp_path: Path) -> None:
    """The spread of one seed is none; NaN is not JSON, and jq, browsers and JavaScript refuse it."""
    write_json(tmp_path / "a.json", {"std": float("nan"), "values": [0.5, float("-inf")]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"std": None, "values": [0.5, None]}


@pytest.mark.train
def test_a_picture_that_cannot_be_drawn_costs_no_bundle(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    shutil.rmtree(run / "bundle")
    (run / "report.png").unlink()
    (run / "report.png").mkdir()  # in its way
    again = (f"open_clip:@{teacher_directory}", LABELS, run, run_recipe)
    with pytest.raises(UserError, match=r"report\.png cannot be written"):
        adapt([sim_bag], *again, resume=True)
    check_files(run / "bundle", read_manifest(run / "bundle"))
    (run / "report.png").rmdir()
    assert adapt([sim_bag], *again, resume=True) == run / "bundle"
    assert (run / "report.png").is_file()


@pytest.mark.train
def test_a_bundle_without_its_report_gets_one(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    before = sha256_file(run / "bundle/manifest.json")
    for name in ("report.json", "report.png"):
        (run / name).unlink()
    assert adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, run, run_recipe, resume=True) == run / "bundle"
    assert (run / "report.png").is_file()
    assert sha256_file(run / "bundle/manifest.json") == before
    assert (run / "report.json").read_text().replace(str(finished_run), "").count("decision") == 1


@pytest.mark.train
def test_a_run_cut_off_before_its_inputs_is_begun_by_resuming(
    sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, finished_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    for name in BEFORE_INPUTS[:3]:
        (tmp_path / "run" / name).write_text("{}")
    made = adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", run_recipe, resume=True)
    assert sha256_file(made / "student.onnx") == sha256_file(finished_run / "bundle/student.onnx")
