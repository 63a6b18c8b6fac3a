"""Runs of `edgevl adapt` that are gone on with: finished, of an earlier version, damaged, cancelled."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.resources import resource
from edgevl_core.bundle.manifest import read_manifest
from edgevl_core.bundle.signing import new_key
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_train import prepare
from edgevl_train.adapt import adapt
from edgevl_train.recipe import Recipe, dump_recipe
from edgevl_train.teacher.loading import load_teacher, teacher_key
from edgevl_train.training.precision import resolve_precision
from tests.paths import ROOT

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


def test_resuming_a_finished_run_changes_nothing(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "check_student", lambda *_: pytest.fail("its student has been tried before"))
    before = {file: file.stat().st_mtime_ns for file in finished_run.rglob("*.onnx")}
    spec = f"open_clip:@{teacher_directory}"
    assert adapt([sim_bag], spec, LABELS, finished_run, run_recipe, resume=True) == finished_run / "bundle"
    assert before == {file: file.stat().st_mtime_ns for file in finished_run.rglob("*.onnx")}
    with pytest.raises(UserError, match="another recipe: resume with the same"):
        adapt([sim_bag], spec, LABELS, finished_run, run_recipe.model_copy(update={"seed": 5}), resume=True)


def test_a_run_of_an_earlier_version_is_resumed_where_its_recipe_means_the_same(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(finished_run, out)
    settings = yaml.safe_load((out / "recipe.yaml").read_text())
    del settings["stage1"]["contrast_weight"]  # a key that was added later; it means 0
    (out / "recipe.yaml").write_text(yaml.safe_dump(settings))
    spec = f"open_clip:@{teacher_directory}"
    teacher = load_teacher(spec, precision=resolve_precision(run_recipe.teacher.precision, "cpu"))
    teacher = replace(teacher, config_sha256="")  # which was not noted either
    _as_made_from(out, recipe=sha256_file(out / "recipe.yaml"), teacher=teacher_key(teacher))
    assert adapt([sim_bag], spec, LABELS, out, run_recipe, resume=True) == out / "bundle"
    settings["stage1"]["lr"] *= 2
    (out / "recipe.yaml").write_text(yaml.safe_dump(settings))
    _as_made_from(out, recipe=sha256_file(out / "recipe.yaml"))
    with pytest.raises(UserError, match="another recipe: resume with the same"):
        adapt([sim_bag], spec, LABELS, out, run_recipe, resume=True)


def _as_made_from(out: Path, **hashes: str) -> None:
    inputs = json.loads((out / "inputs.json").read_text())
    (out / "inputs.json").write_text(json.dumps(inputs | hashes))


def test_a_run_signs_its_bundle_also_when_it_was_cut_off_before_that(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    spec, out = f"open_clip:@{teacher_directory}", tmp_path / "copy"
    with pytest.raises(UserError, match=r"key file .*key.pem cannot be used"):
        adapt([sim_bag], spec, LABELS, tmp_path / "new", run_recipe, signing_key=key)
    assert not (tmp_path / "new").exists()
    public = new_key(key)
    shutil.copytree(finished_run, out)
    bundle = adapt([sim_bag], spec, LABELS, out, run_recipe, resume=True, signing_key=key)
    load_bundle(bundle, trusted=[public])
    assert read_manifest(bundle) == read_manifest(finished_run / "bundle")


def test_a_finished_run_whose_bundle_is_damaged_delivers_it_again_or_says_what_it_lacks(
    finished_run: Path,
    sim_bag: Path,
    teacher_directory: Path,
    run_recipe: Recipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, spec = shutil.copytree(finished_run, tmp_path / "copy"), f"open_clip:@{teacher_directory}"
    (out / "bundle/student.onnx").unlink()
    bundle = adapt([sim_bag], spec, LABELS, out, run_recipe, resume=True)
    assert "student.onnx is missing: copy the bundle again, all of its files: it is made" in capsys.readouterr().err
    assert load_bundle(bundle).manifest.files == read_manifest(finished_run / "bundle").files
    (bundle / "manifest.json").unlink()
    (out / "checkpoints/stage2.pt").unlink()
    with pytest.raises(UserError, match=rf"it has no manifest\.json; .*{out} has no checkpoints/stage2\.pt to make it"):
        adapt([sim_bag], spec, LABELS, out, run_recipe, resume=True)


def test_a_cancelled_run_says_so_and_resumes_to_the_same_student(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    out, file = tmp_path / "run", tmp_path / "recipe.yaml"
    file.write_bytes(dump_recipe(run_recipe))
    arguments = [str(sim_bag), f"open_clip:@{teacher_directory}", str(LABELS), str(out), str(file)]
    code = (
        "import sys; from edgevl_train.adapt import adapt; from edgevl_train.recipe import load_recipe; "
        "adapt([sys.argv[1]], *sys.argv[2:5], load_recipe(sys.argv[5]))"
    )
    root = ROOT
    child = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=root, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (out / "checkpoints/stage1.pt").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(300) == 128 + signal.SIGTERM
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "cancelled"
    resumed = adapt([sim_bag], arguments[1], LABELS, out, run_recipe, resume=True)
    assert sha256_file(resumed / "student.onnx") == sha256_file(finished_run / "bundle/student.onnx")
