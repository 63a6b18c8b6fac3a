"""A run directory is worked in by one process; what was cut off at any moment can be gone on with."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_train.adapt import adapt
from edgevl_train.recipe import Recipe
from edgevl_train.run_directory import BEFORE_INPUTS, INPUTS_FILE, LOCK_FILE, at_work, check_out
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
