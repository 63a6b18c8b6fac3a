"""A student by the time that it may take."""

import json
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_train import budget
from edgevl_train.budget import Ranked, Ranking, choose, load_ranking, within_budget
from edgevl_train.plan import plan
from edgevl_train.recipe import Recipe, dump_recipe, override, parse_recipe
from edgevl_train.student.pretrained import made_for

pytestmark = pytest.mark.train

LARGE, SMALL, ODD = (Ranked(name=name, score=score) for name, score in (("large", 0.9), ("small", 0.7), ("odd", 0.8)))
TIMES = {"large": 8.0, "small": 2.0}


def milliseconds(student: Ranked) -> float:
    if student.name not in TIMES:
        raise UserError(f"student {student.name!r} cannot be built")
    return TIMES[student.name]


def ranking_of(*students: Ranked) -> Ranking:
    return Ranking(made_by="hand", by="hearsay", students=students)


def with_budget(recipe: Recipe, budget_ms: float, *settings: str) -> Recipe:
    data = recipe.model_dump()
    for setting in (f"student.budget_ms={budget_ms}", *settings):
        override(data, setting)
    return parse_recipe(data, origin="test")


def test_the_most_accurate_one_within_the_budget_is_chosen() -> None:
    assert choose([LARGE, ODD, SMALL], 8.0, milliseconds) == (
        LARGE,
        "student large: 8.00 ms, 8 ms are allowed; it is the most accurate",
    )
    assert choose([LARGE, ODD, SMALL], 7.9, milliseconds) == (
        SMALL,
        "student small: 2.00 ms, 7.9 ms are allowed; more accurate, but not within it: large 8.00 ms, odd cannot",
    )
    with pytest.raises(UserError, match=r"budget of 1.5 ms: .* the fastest is small with 2.00 ms; allow more"):
        choose([LARGE, ODD, SMALL], 1.5, milliseconds)
    with pytest.raises(UserError, match="no student of the ranking can be built"):
        choose([ODD], 1.5, milliseconds)


def test_students_are_measured_on_this_machine(tiny_recipe: Recipe) -> None:
    """The recipe's own size and head stay; a class token needs a larger image than this, and is passed over."""
    ranking = ranking_of(
        Ranked(name="vit_tiny_patch16_224", backbone={"img_size": 7}, score=0.9),
        Ranked(name="test_resnet", backbone={"output_stride": 8}, score=0.8),
    )
    chosen, sentence = within_budget(with_budget(tiny_recipe, 1e4), 16, None, ranking)
    assert (chosen.student.name, chosen.student.backbone) == ("test_resnet", {"output_stride": 8})
    assert (chosen.student.size_px, chosen.stage1) == (tiny_recipe.student.size_px, tiny_recipe.stage1)
    why = 'vit_tiny_patch16_224 {"img_size": 7} cannot (32 px, int8, onnxruntime, one thread; ranked by hearsay)'
    assert sentence.endswith(why)
    assert within_budget(tiny_recipe, 16, None, ranking) == (tiny_recipe, "")


def test_a_run_that_has_begun_goes_on_with_its_student(tiny_recipe: Recipe, tmp_path: Path) -> None:
    asked = with_budget(tiny_recipe, 5.0, "student.name=resnet18")
    (tmp_path / "inputs.json").write_text("{}")
    (tmp_path / "recipe.yaml").write_bytes(dump_recipe(with_budget(tiny_recipe, 5.0)))
    chosen, sentence = within_budget(asked, 16, tmp_path, ranking_of(SMALL))
    assert (chosen.student.name, chosen.student.backbone, sentence) == ("test_resnet", {"output_stride": 16}, "")


def test_what_contradicts_a_budget_is_refused(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ("student.start_from=run", "student.pretrained=weights.safetensors", "student.pretrained=teacher"):
        with pytest.raises(UserError, match="budget_ms chooses the student, and start_from or pretrained has one"):
            with_budget(tiny_recipe, 5.0, setting)
    with pytest.raises(UserError, match="greater than 0"):
        with_budget(tiny_recipe, 0)
    with pytest.raises(UserError, match="in several processes: each would measure for itself"):
        within_budget(with_budget(tiny_recipe, 5.0, "devices=2"), 16, None, ranking_of(SMALL))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="in several processes"):
        within_budget(with_budget(tiny_recipe, 5.0), 16, None, ranking_of(SMALL))
    file = tmp_path / "students.json"
    for content in ("", "[]", '{"made_by": "", "by": "", "students": [{"name": "resnet18"}]}', '{"students": []}'):
        file.write_text(content)
        with pytest.raises(UserError, match=r"ranking .* cannot be read"):
            load_ranking(file)


def test_the_shipped_ranking_says_by_what_and_names_students_that_timm_has_weights_for() -> None:
    ranking = load_ranking()
    assert ranking.by == "ImageNet accuracy of timm's weights"
    assert [each.score for each in ranking.students] == sorted((each.score for each in ranking.students), reverse=True)
    for student in ranking.students:
        assert made_for(student.name).hf_hub_id, student.name


def test_the_plan_says_which_and_why(
    sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "students.json"
    students = [{"name": "test_resnet", "score": 0.5}, {"name": "resnet18", "score": 0.4}]
    file.write_text(json.dumps({"made_by": "hand", "by": "hearsay", "students": students}))
    monkeypatch.setattr(budget, "RANKING_FILE", str(file))
    labels, spec = resource("config/labels/home.yaml"), f"open_clip:@{teacher_directory}"
    text = plan([sim_bag], spec, labels, tmp_path / "run", with_budget(run_recipe, 1e4))
    assert "student test_resnet: 32 px" in text
    assert (
        "10000 ms are allowed; it is the most accurate (32 px, int8, onnxruntime, one thread; ranked by hearsay)"
        in text
    )
