"""A run that begins with a pruned student is an ordinary one: resumed, evaluated, gone on with, merged."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.student_bundle import STUDENT_INT8, load_bundle
from edgevl_train.adapt import adapt
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.merge.runs import check_alike, merge_recipe
from edgevl_train.plan import plan
from edgevl_train.prepare import prepare
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")
SHORT = {
    "replay": {"share": 0.0},
    "stage1": {"epochs": 1, "batch": 16},
    "stage2": {"epochs": 0, "calibration_pairs": 32},
}


def recipe_from(recipe: Recipe, **student: object) -> Recipe:
    """The short recipe, whose student goes on from another run's; what is left open comes from that run."""
    return parse_recipe(recipe.model_dump(include={"views", "split"}) | SHORT | {"student": student}, origin="test")


@pytest.fixture(scope="module")
def pruned(
    finished_run: Path,
    sim_bag: Path,
    teacher_directory: Path,
    run_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("pruned") / "run"
    recipe = recipe_from(run_recipe, start_from=finished_run, prune_share=0.5)
    adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, out, recipe)
    return out


def test_a_pruned_run_is_an_ordinary_run(
    pruned: Path, finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    teacher = f"open_clip:@{teacher_directory}"
    sizes = [(run / "bundle" / STUDENT_INT8).stat().st_size for run in (pruned, finished_run)]
    assert sizes[0] < 0.5 * sizes[1]
    assert load_bundle(pruned / "bundle").manifest.provenance.recipe["student"]["widths"]
    assert evaluate(pruned / "bundle", [sim_bag])["samples"] == evaluate(pruned, [sim_bag])["samples"] == 96
    # Its own recipe goes on with it, and so does the command that began it.
    for recipe in (
        load_recipe(pruned / "recipe.yaml"),
        recipe_from(run_recipe, start_from=finished_run, prune_share=0.5),
    ):
        assert adapt([sim_bag], teacher, LABELS, pruned, recipe, resume=True) == pruned / "bundle"
    # It may be gone on with, and pruned further.
    further = prepare([sim_bag], teacher, LABELS, recipe_from(run_recipe, start_from=pruned))
    assert further.recipe.student.widths == load_recipe(pruned / "recipe.yaml").student.widths
    assert "pruned by 0.5" in plan([sim_bag], teacher, LABELS, tmp_path / "none", recipe_from(
        run_recipe, start_from=pruned, prune_share=0.5
    ))  # fmt: skip
    twice = load_recipe(pruned / "recipe.yaml", [f"student.start_from={pruned}"])
    with pytest.raises(UserError, match=r"gives other widths .* student\.prune_share=null"):
        prepare([sim_bag], teacher, LABELS, twice)
    other = recipe_from(run_recipe, start_from=finished_run, widths={"head": (16, 8)})
    with pytest.raises(UserError, match=r"other student\.widths \(none pruned, not 1 layers pruned\)"):
        prepare([sim_bag], teacher, LABELS, other)


def test_a_resumed_pruned_run_gives_the_same_student(
    pruned: Path, finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    again = shutil.copytree(pruned, tmp_path / "run")
    for left in ("bundle", "bundle_ptq", "onnx", "checkpoints"):
        shutil.rmtree(again / left)
    recipe = recipe_from(run_recipe, start_from=finished_run, prune_share=0.5)
    adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, again, recipe, resume=True)
    states = [torch.load(run / "checkpoints/stage1.pt", weights_only=True)["best"]["state"] for run in (pruned, again)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_only_what_was_pruned_alike_from_one_student_is_merged(
    pruned: Path, finished_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is pruned otherwise than") as refused:
        check_alike(merge_recipe([finished_run, pruned], "all", []), LABELS)
    assert "\n" not in str(refused.value)
    same = shutil.copytree(pruned, tmp_path / "same")
    content = torch.load(same / "checkpoints/stage1.pt", weights_only=True)
    torch.save(content | {"seen": "elsewhere"}, same / "checkpoints/stage1.pt")
    recipe = merge_recipe([pruned, same], "all", [])
    check_alike(recipe, LABELS)
    inputs = json.loads((same / "inputs.json").read_text())
    (same / "inputs.json").write_text(json.dumps(inputs | {"first_weights": "another student"}))
    with pytest.raises(UserError, match="go back to no common student"):
        check_alike(recipe, LABELS)


def test_pruning_needs_a_trained_student() -> None:
    with pytest.raises(UserError, match="prune_share takes channels out of a trained student: give start_from=RUN"):
        parse_recipe({"student": {"prune_share": 0.3}}, origin="test")
    with pytest.raises(UserError, match="widths are of a pruned student"):
        parse_recipe({"student": {"widths": {"head": [1, 1]}, "pretrained": "teacher"}}, origin="test")
