"""A student's way to the robot is tried before it is trained."""

from pathlib import Path

import pytest
import torch

from edgevl_core.base.atomic import NotWritten
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_train.adapt import adapt
from edgevl_train.quantise import trial
from edgevl_train.recipe import Recipe
from edgevl_train.sections import StudentSection

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


def test_a_backbone_that_cannot_be_quantised_is_refused_before_anything_is_done(
    sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    section = run_recipe.student.model_copy(update={"name": "crossvit_tiny_240", "size_px": 240, "backbone": {}})
    wider = run_recipe.cache.model_copy(update={"size_px": 240})
    recipe = run_recipe.model_copy(update={"student": section, "cache": wider})
    with pytest.raises(UserError, match=r"'crossvit_tiny_240' cannot be quantised.*not traceable") as refused:
        adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", recipe)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_what_goes_wrong_elsewhere_names_the_student_and_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_operator(*_: object) -> None:
        raise RuntimeError("steps 1 to 3\nfailed") from ValueError("no kernel for aten::rot90\nsomewhere")

    monkeypatch.setattr(trial, "export_fp32", unknown_operator)
    section = StudentSection(name="test_resnet", size_px=32)
    expected = "'test_resnet' at 32 px cannot be exported: no kernel for aten::rot90; take another"
    with pytest.raises(UserError, match=expected):
        trial.check_student(section, 16)


def test_a_full_disk_is_no_fault_of_the_student(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise NotWritten("a.onnx cannot be written (File too large)")

    monkeypatch.setattr(trial, "export_fp32", full)
    with pytest.raises(NotWritten, match=r"^a\.onnx cannot be written"):
        trial.check_student(StudentSection(name="test_resnet", size_px=32), 16)


def test_a_student_is_tried_once_and_no_random_number_is_used_up(
    run_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    trial.check_student(run_recipe.student, 16)  # as in finished_run
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    monkeypatch.setattr(trial, "try_student", lambda *_: pytest.fail("tried again"))
    trial.check_student(run_recipe.student, 16)
