from pathlib import Path
from typing import Any

import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.recipe import dump_recipe, load_recipe, parse_recipe
from tests.paths import ROOT

pytestmark = pytest.mark.unit
CONFIG = ROOT / "config" / "train"


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_recipes_are_valid(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.cache.size_px >= recipe.student.size_px


def test_every_fault_is_named_in_one_line() -> None:
    data = {
        "seeed": 1,
        "student": {"size_px": 4, "nmae": "x"},
        "stage1": {"loss": "l2", "lr": -1},
        "stage2": {"triplet_weight": 0, "distil_weight": 0},
    }
    with pytest.raises(UserError) as error:
        parse_recipe(data, origin="r.yaml")
    message = str(error.value)
    for word in ("seeed", "student.size_px", "student.nmae", "stage1.loss", "stage1.lr", "stage2", "r.yaml"):
        assert word in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"student": {"size_px": 96}, "cache": {"size_px": 64}}, "cache.size_px 64 is below student.size_px 96"),
        ({"precision": "16-mixed", "accelerator": "cpu"}, "precision 16-mixed needs a GPU, accelerator is cpu"),
    ],
)
def test_contradiction_between_sections_is_refused(data: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        parse_recipe(data, origin="r")


def test_a_wrong_value_that_was_set_is_not_laid_to_the_file_alone() -> None:
    with pytest.raises(UserError, match=r"demo.yaml --set seed=1 --set stage1.lr=-1: stage1.lr=-1: "):
        load_recipe(CONFIG / "demo.yaml", ["seed=1", "stage1.lr=-1"])


def test_settings_override_and_are_typed() -> None:
    recipe = load_recipe(
        CONFIG / "demo.yaml",
        [
            "stage1.epochs=3",
            "student.backbone={output_stride: 8}",
            "views.flip=false",
            "curation.superset=a/b.yaml",
        ],
    )
    assert recipe.stage1.epochs == 3
    assert recipe.student.backbone == {"output_stride": 8}
    assert not recipe.views.flip
    assert recipe.curation.superset == Path("a/b.yaml")


@pytest.mark.parametrize("setting", ["stage1.epochs", "=3", "stage1..epochs=3", "stage1.epochs=[1", "threads.x=1"])
def test_malformed_setting_is_named(setting: str) -> None:
    with pytest.raises(UserError, match="--set"):
        load_recipe(CONFIG / "demo.yaml", [setting])


@pytest.mark.parametrize("text", ["- 1", "a: [", "\x00"])
def test_unreadable_recipe(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"r\.yaml"):
        load_recipe(file)
    with pytest.raises(UserError, match="missing"):
        load_recipe(tmp_path / "missing.yaml")


def test_dumped_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(CONFIG / "demo.yaml", ["seed=7", "curation.superset=x.yaml"])
    file = tmp_path / "recipe.yaml"
    file.write_bytes(dump_recipe(recipe))
    assert load_recipe(file) == recipe


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("checkpoint_every_s=.inf", "checkpoint_every_s=inf: input should be a finite number"),
        ("stage1.lr=.nan", "stage1.lr=nan: input should be a finite number"),
        ("student.backbone={drop_rate: .inf}", "student.backbone: .*what JSON has no word for"),
        ("seed=9223372036854775808", "seed=9223372036854775808: input should be less than"),
        ("views={flip: true, flip: false}", "is not a YAML value"),
    ],
)
def test_what_no_run_could_use_or_keep_is_refused(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_recipe(CONFIG / "demo.yaml", [setting])


def test_a_key_given_twice_is_named_and_a_merged_one_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("seed: 1\nstage1: {epochs: 2}\nseed: 2\n")
    with pytest.raises(UserError, match=r"r\.yaml.*key 'seed' is given twice.* line 3"):
        load_recipe(file)
    file.write_text("stage1: &a {epochs: 2, batch: 8}\nstage2: {<<: *a, epochs: 3}\n")
    recipe = load_recipe(file)
    assert (recipe.stage2.epochs, recipe.stage2.batch) == (3, 8)


@pytest.mark.parametrize("text", ["{k: v}", "[x]"], ids=["merge keys", "aliases"])
def test_a_recipe_of_a_few_lines_that_unfold_is_refused(tmp_path: Path, text: str) -> None:
    """Recipes come with the runs of others, to be merged or begun from."""
    inner = "{{<<: [{}]}}" if text == "{k: v}" else "[{}]"
    lines = [f"a0: &a0 {text}", *(f"a{n}: &a{n} {inner.format(', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, 10))]
    (tmp_path / "r.yaml").write_text("\n".join([*lines, "seed: *a9"]))
    with pytest.raises(UserError, match=r"r\.yaml cannot be read \(its aliases .* write fewer"):
        load_recipe(tmp_path / "r.yaml")
