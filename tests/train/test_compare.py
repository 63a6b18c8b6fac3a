"""``edgevl compare``: equal terms for every recipe, cells over fractions and seeds, gone on with, a rule in words."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import timm
from safetensors.torch import save_file

from edgevl_cli.compare import SHIPPED, show_comparison
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.labels import Label, LabelSet, load_labels
from edgevl_train.comparison.compare import compare
from edgevl_train.comparison.terms import on_equal_terms, part_of, parted_vocabulary, with_steps_of
from edgevl_train.comparison.verdict import verdicts
from edgevl_train.data.run_data import RunData
from edgevl_train.prepare import prepare
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe, recipe_file
from tests.cli.command import refusal
from tests.cli.json_answers import answer_of

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")
SETTINGS = (
    "student={name: test_resnet, size_px: 32, backbone: {output_stride: 16}}",
    "cache.size_px=32",
    "views.count=1",
    "split.val_fraction=0.2",
    "stage1={epochs: 1, batch: 16}",
    "stage2={epochs: 0, batch: 16, calibration_pairs: 16}",
)


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe(resource("config/train/demo.yaml"), SETTINGS)


def shipped(name: str, *settings: str) -> Recipe:
    return load_recipe(resource(f"config/train/{name}.yaml"), settings)


def test_cells_are_trained_compared_and_resumed(
    sim_bag: Path,
    other_home: Path,
    teacher_directory: Path,
    base: Recipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs = ([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "compared")
    recipes, out = (("demo", base), {"ofa": shipped("ofa")}), inputs[-1]
    how: dict[str, Any] = {"seeds": (3,), "same_student": True}
    one = compare(*inputs, *recipes, fractions=(50,), **how)
    assert list(one["cells"]) == list(one["recipes"]) == ["demo", "ofa"]
    assert "no verdict" in one["verdicts"]["ofa"]["sentence"]
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    for recipe in one["recipes"].values():
        assert recipe["student"] == "test_resnet"
        assert recipe["int8"]["ms"] == sorted(recipe["int8"]["ms"])
        assert recipe["int8"]["bytes"] != recipe["float"]["bytes"]
    found = one["cells"]["ofa"]["50"]["stage2_int8"]
    assert set(found) >= {"held_out_agreement_rgb", "validation_agreement_mean", "validation_cosine_depth"}
    assert not {"hallway", "kitchen"} & set(one["held_out"])
    end = json.loads(next(out.glob("ofa_*/50/seed_3/metrics.jsonl")).read_text().splitlines()[-1])
    assert end["loss_exit"] > 0
    assert end["epoch"] > 1  # more than the base has, for the steps of the whole
    files = {file: file.stat().st_mtime_ns for file in out.rglob("*.onnx")}
    assert len(files) == 4

    # The same by the command line, which finds what is trained; other bags judge it anew.
    (tmp_path / "demo.yaml").write_bytes(dump_recipe(base))
    words = ("compare", *inputs[0], "--teacher", inputs[1], "--labels", LABELS, "--out", out, "--resume")
    asked = ("--recipe", tmp_path / "demo.yaml", "--against", "ofa", "--same-student", "--test", other_home)
    more = answer_of(capsys, *words, *asked, "--seeds", 3, "--fractions", 50)
    assert {file: file.stat().st_mtime_ns for file in files} == files
    top1 = {name: more["cells"][name]["50"]["stage2_int8"]["top1_mean"]["mean"] for name in ("demo", "ofa")}
    assert more["verdicts"]["ofa"]["gain"]["50"]["mean"] == pytest.approx(top1["ofa"] - top1["demo"])
    show_comparison(json.loads((out / "compare.json").read_text()), out)
    table = capsys.readouterr().out
    assert "held-out" in table
    assert more["verdicts"]["ofa"]["sentence"] in table


def test_terms_are_equal_and_the_way_of_learning_is_its_own(base: Recipe) -> None:
    other = shipped("vanilla_kd", "views.count=9", "seed=7")
    (mine,) = on_equal_terms(base, {"vanilla_kd": other}, same_student=False).values()
    assert (mine.views, mine.cache, mine.split, mine.seed) == (base.views, base.cache, base.split, base.seed)
    assert (mine.stage1.epochs, mine.stage1.batch) == (base.stage1.epochs, base.stage1.batch)
    assert (mine.rgb_augment, mine.low_light, mine.stage1.lr) == (other.rgb_augment, other.low_light, other.stage1.lr)
    assert (mine.student.name, mine.student.size_px) == (other.student.name, base.student.size_px)
    (same,) = on_equal_terms(base, {"vanilla_kd": other}, same_student=True).values()
    assert same.student == base.student
    with pytest.raises(UserError, match="begins with new students"):
        on_equal_terms(base, {"x": shipped("edgevl", "student.budget_ms=3")}, same_student=True)


def test_parts_lie_within_each_other_and_take_the_same_steps(run_data: RunData, tiny_recipe: Recipe) -> None:
    ten, thirty, all_ = (part_of(run_data, percent, 0).train for percent in (10, 30, 100))
    assert set(ten) < set(thirty) < set(all_) == set(run_data.train)
    assert len(ten) == round(len(all_) / 10)
    recipe = with_steps_of(tiny_recipe, 1000, 100)
    steps = recipe.stage1.epochs * (100 // tiny_recipe.stage1.batch)
    assert steps == pytest.approx(tiny_recipe.stage1.epochs * (1000 // tiny_recipe.stage1.batch), rel=0.05)
    assert with_steps_of(tiny_recipe, 100, 100) == tiny_recipe


def test_patience_and_accumulation_are_counted_in_steps_too(tiny_recipe: Recipe) -> None:
    """64 a batch: 100 batches of the whole, 10 of the part."""
    how = {"epochs": 40, "batch": 64, "patience": 5}
    recipe = tiny_recipe.model_copy(update={"stage1": tiny_recipe.stage1.model_copy(update=how)})
    stage = with_steps_of(recipe, 6400, 640).stage1
    assert (stage.epochs, stage.patience) == (400, 50)
    grouped = recipe.model_copy(update={"stage1": recipe.stage1.model_copy(update={"accumulate": 4})})
    # 25 updates in an epoch of the whole; 3 in one of the part, the last of two batches
    assert with_steps_of(grouped, 6400, 640).stage1.epochs == round(40 * 25 / 3)


def test_every_second_word_that_is_no_label_is_hidden(base: Recipe) -> None:
    labels = load_labels("home")
    learned, held_out = parted_vocabulary(base, labels)
    whole = load_labels(base.vocabulary)
    assert set(learned.names) | set(held_out.names) == set(whole.names)
    assert not set(held_out.names) & (set(labels.names) | set(learned.names))
    assert len(held_out.names) > 15


@pytest.mark.parametrize("kind", ["name", "words", "synonyms"])
def test_a_word_that_a_label_goes_by_is_not_hidden(kind: str, base: Recipe, tmp_path: Path) -> None:
    """Where a label says "lounge", the student learns by that word: hidden, it would not be unseen."""
    label, word = {
        "name": (Label(name="lounge"), "{name: Lounge}"),
        "words": (Label(name="living room/lounge", words=("living room", "lounge")), "{name: Lounge}"),
        "synonyms": (Label(name="living room", synonyms=("lounge",)), "{name: sitting room, synonyms: [Lounge]}"),
    }[kind]
    file = tmp_path / "words.yaml"
    file.write_text(f"labels: [attic, {word}, cellar, shed, barn]")
    recipe = base.model_copy(update={"vocabulary": file})
    learned, held_out = parted_vocabulary(recipe, LabelSet(labels=(label,)))
    assert held_out.names == ("cellar", "barn")
    assert len(learned.names) == 3


@pytest.mark.parametrize(
    ("mine", "theirs", "stage1", "refusal"),
    [
        ("convnet", "vit", "small_share=0.5", "student 'vit_tiny_patch16_224' takes one size of picture"),
        ("vit", "convnet", "small_share=0.5", None),
        ("pretrained", "convnet", "start_share=0.2", "these are random weights"),
        ("convnet", "pretrained", "start_share=0.2", None),
    ],
)
def test_what_a_recipe_asks_of_its_student_is_asked_of_its_own(
    mine: str, theirs: str, stage1: str, refusal: str | None, sim_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "resnet.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0, output_stride=16).state_dict(), weights)
    resnet = "name: test_resnet, size_px: 32, backbone: {output_stride: 16}"
    vit = "{depth: 1, embed_dim: 32, num_heads: 2, patch_size: 8}"
    students = {
        "convnet": f"student={{{resnet}}}",
        "pretrained": f"student={{{resnet}, pretrained: {weights}}}",
        "vit": f"student={{name: vit_tiny_patch16_224, size_px: 32, backbone: {vit}}}",
    }
    base = shipped("demo", *SETTINGS, students[mine])
    other = shipped("demo", *SETTINGS, students[theirs], f"stage1.{stage1}", "stage1.epochs=2")
    inputs = ([sim_bag], f"open_clip:@{teacher_directory}", LABELS, base)
    if refusal is None:
        assert prepare(*inputs, variants=[base, other]).recipe.student == base.student
        return
    with pytest.raises(UserError, match=refusal):
        prepare(*inputs, variants=[base, other])


def cells(**values: dict[str, list[float]]) -> dict[str, dict[str, dict[str, dict[str, dict[str, list[float]]]]]]:
    return {
        name: {percent: {"int8": {"top1_mean": {"values": list(each)}}} for percent, each in of.items()}
        for name, of in values.items()
    }


@pytest.mark.parametrize(
    ("values", "recommended", "words"),
    [
        ({"10": [0.5, 0.5], "100": [0.83, 0.84]}, True, "x: recommended, +0.035 ± 0.007 to base at 100 %"),
        ({"10": [0.7, 0.7], "100": [0.81, 0.79]}, False, "within the spread; that it wins at 10 % does not count"),
        (
            {"10": [0.5, 0.5], "100": [0.70, 0.71]},
            False,
            "not recommended, -0.095 ± 0.007 to base at 100 % of the pairs: worse",
        ),
    ],
)
def test_only_a_gain_on_all_the_data_beyond_its_spread_counts(
    values: dict[str, list[float]], recommended: bool, words: str
) -> None:
    found = verdicts(cells(base={"10": [0.5, 0.5], "100": [0.80, 0.80]}, x=values), "base", "top1_mean", "int8")["x"]
    assert found["recommended"] is recommended
    assert words in found["sentence"]


def test_one_seed_gives_no_verdict() -> None:
    found = verdicts(cells(base={"100": [0.8]}, x={"100": [0.9]}), "base", "top1_mean", "int8")["x"]
    assert not found["recommended"]
    assert math.isnan(found["gain"]["100"]["std"])
    assert "one seed: no spread, no verdict" in found["sentence"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"fractions": (0, 100)}, "percentages"),
        ({"fractions": ()}, "percentages"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (-1,)}, "seed=-1"),
    ],
)
def test_senseless_questions_are_refused(
    how: dict[str, tuple[int, ...]], words: str, sim_bag: Path, base: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        compare([sim_bag], "open_clip:none", LABELS, tmp_path / "out", ("demo", base), {}, **how)
    assert not (tmp_path / "out").exists()


def test_a_training_bag_is_no_test_bag(sim_bag: Path, teacher_directory: Path, base: Recipe, tmp_path: Path) -> None:
    spec, others = f"open_clip:@{teacher_directory}", {"ofa": shipped("ofa")}
    for test, words in (
        ([sim_bag], f"--test {sim_bag} is the training bag {sim_bag}"),
        ([tmp_path / "no"], "no such bag"),
        ([sim_bag, sim_bag], "--test bags given twice"),
    ):
        with pytest.raises(UserError, match=words):
            compare([sim_bag], spec, LABELS, tmp_path / "out", ("demo", base), others, test=test)
    assert not (tmp_path / "out").exists()


def test_topics_are_chosen_as_for_a_training(sim_bag: Path, tmp_path: Path) -> None:
    command = ("compare", sim_bag, "--teacher", "open_clip:none", "--labels", LABELS, "--out", tmp_path / "out")
    assert "the bag has no topic 'other'" in refusal(*command, "--rgb", "other")
    assert "--max-skew-s 99: seconds above 0" in refusal(*command, "--max-skew-s", "99")


def test_a_name_twice_is_refused(sim_bag: Path, base: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recipe demo is given twice"):
        compare([sim_bag], "open_clip:none", LABELS, tmp_path / "out", ("demo", base), {"demo": base})


def test_recipes_are_found_by_name_or_file(tmp_path: Path) -> None:
    assert [recipe_file(name).stem for name in SHIPPED] == list(SHIPPED)
    assert all(recipe_file(name).is_file() for name in SHIPPED)
    assert recipe_file(str(tmp_path / "own.yaml")) == tmp_path / "own.yaml"
    with pytest.raises(UserError, match=r"recipe 'clipkd': none of this name is shipped; there are clip4retrofit, "):
        recipe_file("clipkd")
