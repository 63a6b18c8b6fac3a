"""Commands that train, or need a run, answer machines, too: see tests/cli/test_json.py."""

from pathlib import Path

import pytest

from edgevl_core.base.resources import resource
from edgevl_train.recipe import Recipe, dump_recipe
from tests.cli.json_answers import answer_of
from tests.core.bags import DEPTH_TOPIC, write_bag

pytestmark = pytest.mark.train
HOME = resource("config/labels/home.yaml")
MODEL = (
    "model={embed_dim: 16, vision_cfg: {image_size: 32, timm_model_name: test_resnet}, "
    "text_cfg: {context_length: 16, vocab_size: 49408, width: 16, heads: 2, layers: 1}}"
)
SMALL_TEACHER = ("--set", MODEL, "--set", "text_steps=2", "--set", "batch=16", "--epochs", "1")
Capture = pytest.CaptureFixture[str]


def test_adapt(
    sim_bag: Path, teacher_directory: Path, finished_run: Path, run_recipe: Recipe, tmp_path: Path, capsys: Capture
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(dump_recipe(run_recipe))
    words = ("adapt", sim_bag, "--teacher", f"open_clip:@{teacher_directory}", "--labels", HOME, "--recipe", recipe)
    # A finished run is gone on with: nothing is left to do but to answer.
    said = answer_of(capsys, *words, "--out", finished_run, "--resume")
    assert said["bundle"] == str(finished_run / "bundle")
    assert set(said["decision"]) >= {"deploy", "sentence", "rows"}
    planned = answer_of(capsys, *words, "--out", tmp_path / "new", "--dry-run")
    assert any(line.startswith("student test_resnet") for line in planned["plan"])
    assert answer_of(capsys, *words, "--out", finished_run, "--resume", "--dry-run")["plan"]


def test_a_dry_run_says_of_a_bag_that_its_depth_is_not_registered(
    teacher_directory: Path, run_recipe: Recipe, tmp_path: Path, capsys: Capture
) -> None:
    recipe, bag = tmp_path / "recipe.yaml", write_bag(tmp_path / "bag", 96)
    recipe.write_bytes(dump_recipe(run_recipe))
    words = ("adapt", bag, "--teacher", f"open_clip:@{teacher_directory}", "--labels", HOME, "--recipe", recipe)
    plan = answer_of(capsys, *words, "--out", tmp_path / "new", "--dry-run")["plan"]
    beginning = f"warning: {bag}: {DEPTH_TOPIC}: depth may not be registered to RGB (sizes differ "
    assert [line for line in plan if line.startswith(beginning)]


def test_evaluate_and_report(sim_bag: Path, finished_run: Path, capsys: Capture) -> None:
    assert answer_of(capsys, "evaluate", finished_run / "bundle", sim_bag)["samples"] > 0
    (run,) = answer_of(capsys, "report", finished_run)["runs"]
    assert Path(run["page"]).is_file()
    assert Path(run["picture"]).is_file()


def test_pretrain(sim_bag: Path, tmp_path: Path, capsys: Capture) -> None:
    model = (
        "{embed_dim: 16, vision_cfg: {image_size: 32, timm_model_name: test_resnet}, text_cfg: {context_length: 16, "
    )
    model += "vocab_size: 49408, width: 16, heads: 2, layers: 1}}"
    small = ("--set", f"model={model}", "--set", "text_steps=2", "--set", "batch=16", "--epochs", "1")
    said = answer_of(capsys, "teacher", "pretrain", sim_bag, "--out", tmp_path / "clip", *small)
    assert said["teacher"] == f"open_clip:@{tmp_path / 'clip'}"
    assert said["best"]["epoch"] >= 0


def test_bundle_make(sim_bag: Path, teacher_directory: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ("bundle", "make", "--teacher", f"open_clip:@{teacher_directory}", "--labels", HOME)
    said = answer_of(capsys, *words, "--calibrate", sim_bag, "--out", tmp_path / "day_one")
    assert said["bundle"] == str(tmp_path / "day_one")
    assert 0 <= said["cosine"] <= 1
