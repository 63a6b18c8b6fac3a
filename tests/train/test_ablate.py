"""``edgevl adapt --ablate``: every row is trained, compared over seeds, and gone on with."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_train.ablation.ablate import ablate
from edgevl_train.ablation.figures import QUANTISED, ROWS
from edgevl_train.ablation.trial import FIGURES_FILE, Trial, without_contrast
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe
from edgevl_train.run_directory import write_json
from tests.train.quantise.quantised import op_counts

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    settings = (
        "student={name: test_resnet, size_px: 32, backbone: {output_stride: 16}}",
        "cache.size_px=32",
        "views.count=1",
        "split.val_fraction=0.2",
        "stage1={epochs: 1, batch: 16}",
        "stage2={epochs: 1, batch: 16, lr: 1.0e-3, calibration_pairs: 16, triplet_weight: 1.0}",
    )
    return load_recipe(resource("config/train/demo.yaml"), settings)


def test_rows_are_trained_compared_and_resumed(
    sim_bag: Path, other_home: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    spec, out = f"open_clip:@{teacher_directory}", tmp_path / "ablation"
    variant = "stage1.label_weight=0.5 stage2.vocabulary_weight=0.5"  # the recipe itself learns by no vocabulary
    words = tmp_path / "words.yaml"
    words.write_text("labels: [kitchen, office, garage, gym]\n")
    recipe = recipe.model_copy(update={"vocabulary": words})
    result = ablate([sim_bag], spec, LABELS, out, recipe, seeds=(3, 4), test=[other_home])
    assert json.loads((out / "ablation.json").read_text()) == result
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    assert list(result["rows"]) == list(ROWS)
    for figures in result["rows"].values():
        mean = figures["top1_mean"]
        assert mean["values"] == pytest.approx(
            [(a + b) / 2 for a, b in zip(figures["top1_rgb"]["values"], figures["top1_depth"]["values"])]
        )
        assert (mean["mean"], mean["std"]) == pytest.approx((np.mean(mean["values"]), np.std(mean["values"], ddof=1)))
    gain = result["gain"]["stage2_int8 - ptq_int8"]["validation_cosine_rgb"]["values"]
    rows = [result["rows"][row]["validation_cosine_rgb"]["values"] for row in ("stage2_int8", "ptq_int8")]
    assert gain == pytest.approx(list(np.subtract(*rows)))
    for seed in (3, 4):
        files = {row: out / f"seed_{seed}" / f"{row}.onnx" for row in ROWS}
        # By its validation score the best epoch may be 0 in both trainings, so the trainings themselves are compared.
        qat, stage2 = (
            json.loads((out / f"seed_{seed}" / row / "metrics.jsonl").read_text().splitlines()[-1])
            for row in ("qat_int8", "stage2_int8")
        )
        assert qat["loss"] == pytest.approx(qat["loss_rgb"] + qat["loss_depth"], abs=2e-6)
        # So small a teacher may give all pairs one label, which makes no triplets.
        whole = stage2["loss_rgb"] + stage2["loss_depth"] + stage2["loss_triplet"]
        assert stage2["loss"] == pytest.approx(whole, abs=2e-6)
        assert "QLinearConv" not in op_counts(files["stage1_fp32"])
        assert all(op_counts(files[row])["QLinearConv"] > 5 for row in ("ptq_int8", *QUANTISED))

    # More rows of one seed, whose students are trained by now.
    asked = {"seeds": (3,), "test": [other_home], "variants": [variant], "weight_bits": [3]}
    more = ablate([sim_bag], spec, LABELS, out, recipe, **asked, resume=True)
    varied = [f"{variant}, stage1_fp32", f"{variant}, stage2_int8"]
    fewer = [f"weights of 3 bits, {row}" for row in QUANTISED]
    assert list(more["rows"]) == [*ROWS, *fewer, *varied]
    assert {row: more["rows"][row]["top1_rgb"]["values"] for row in ROWS} == {
        row: result["rows"][row]["top1_rgb"]["values"][:1] for row in ROWS
    }
    assert more["names"][fewer[0]] == "weights of 3 bits: best PTQ"
    assert f"{fewer[2]} - {fewer[1]}" in more["gain"]
    assert more["names"][varied[0]] == f"{variant}: stage 1, float"
    other, own = (more["rows"][row]["validation_cosine_rgb"]["values"] for row in (varied[0], "stage1_fp32"))
    assert more["gain"][f"{varied[0]} - stage1_fp32"]["validation_cosine_rgb"]["values"] == pytest.approx(
        list(np.subtract(other, own))
    )
    assert other != own
    ends = [
        json.loads(file.read_text().splitlines()[-1]) for file in out.glob("seed_3/variant_*/stage2_int8/metrics.jsonl")
    ]
    assert [end["loss_vocabulary"] > 0 for end in ends if "loss_vocabulary" in end] == [True]
    for file in out.glob("seed_*/variant_*/best_ptq_int8.onnx"):
        assert largest_weight(file) == 3
        assert largest_weight(file.parent.parent / "best_ptq_int8.onnx") == 127
    written = {file: file.stat().st_mtime_ns for file in out.rglob("*.onnx")}
    again = ablate([sim_bag], spec, LABELS, out, recipe, **asked, resume=True)
    assert json.dumps(again) == json.dumps(more)  # one seed has no spread: NaN
    assert written == {file: file.stat().st_mtime_ns for file in out.rglob("*.onnx")}

    # What a variant alone learns by has changed: its students are trained again, the others are kept.
    words.write_text("labels: [kitchen, church, stable]\n")
    ablate([sim_bag], spec, LABELS, out, recipe, **asked, resume=True)
    files = {file: file.stat().st_mtime_ns for file in out.rglob("*.onnx")}
    assert written.items() < files.items()
    assert sorted(file.name for file in files.keys() - written) == ["stage1_fp32.onnx", "stage2_int8.onnx"]


def test_a_student_that_goes_on_is_ablated_in_the_bits_of_its_recipe(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    """What the recipe leaves open of the student comes from the run, and weights of 4 bits are so in every row."""
    stage2 = {"epochs": 1, "batch": 16, "calibration_pairs": 16, "weight_bits": 4}
    sections = {"views": {"count": 1}, "split": {"val_fraction": 0.2}, "replay": {"share": 0}, "stage1": {"epochs": 0}}
    recipe = parse_recipe(sections | {"student": {"start_from": finished_run}, "stage2": stage2}, origin="test")
    out = tmp_path / "ablation"
    found = ablate([sim_bag], f"open_clip:@{teacher_directory}", LABELS, out, recipe, seeds=(3,))
    assert list(found["rows"]) == [row for row in ROWS if row != "dynamic_int8"]  # which ONNX Runtime has in 8 bits
    assert {largest_weight(out / f"seed_3/{row}.onnx") for row in ("ptq_int8", *QUANTISED)} == {7}


def largest_weight(file: Path) -> int:
    """Of all int8 weights in the file."""
    weights = [onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer]
    return max(int(np.abs(each.astype(int)).max()) for each in weights if each.dtype == np.int8 and each.ndim > 1)


def test_a_training_bag_is_no_test_bag(sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path) -> None:
    copy, out = shutil.copytree(sim_bag, tmp_path / "copy"), tmp_path / "out"
    [file] = copy.glob("*.mcap")
    file.rename(file.with_name("renamed.mcap"))
    (copy / "metadata.yaml").unlink()
    spec = f"open_clip:@{teacher_directory}"
    with pytest.raises(UserError, match=f"--test {copy} is the training bag {sim_bag}: .* not learned from"):
        ablate([sim_bag], spec, LABELS, out, recipe, test=[copy])
    assert not out.exists()


def test_bits_that_nobody_knows_are_refused(sim_bag: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights of 5 bits: accepted are 3, 4, 7, 8"):
        ablate([sim_bag], "open_clip:none", LABELS, tmp_path / "out", recipe, weight_bits=[5])


def test_the_row_without_contrast_keeps_the_distillation(recipe: Recipe) -> None:
    for distil_weight, kept in ((1.0, 1.0), (0.5, 0.5), (0.0, 1.0)):
        section = recipe.stage2.model_copy(update={"distil_weight": distil_weight})
        alone = without_contrast(section)
        assert (section.triplet_weight, alone.triplet_weight, alone.distil_weight) == (1.0, 0.0, kept)


@pytest.mark.parametrize("seeds", [(), (1, 1), (0, -1), (2**63,)])
def test_senseless_seeds_are_refused(seeds: tuple[int, ...], sim_bag: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seeds"):
        ablate([sim_bag], "open_clip:none", LABELS, tmp_path / "out", recipe, seeds=seeds)
    assert not (tmp_path / "out").exists()


def test_no_second_stage_is_refused(sim_bag: Path, recipe: Recipe, tmp_path: Path) -> None:
    without = recipe.model_copy(update={"stage2": recipe.stage2.model_copy(update={"epochs": 0})})
    with pytest.raises(UserError, match=r"stage2\.epochs"):
        ablate([sim_bag], "open_clip:none", LABELS, tmp_path / "out", without)


def test_a_variant_of_what_is_learned_from_is_refused(sim_bag: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"variant 'views\.count=2'"):
        ablate([sim_bag], "open_clip:none", LABELS, tmp_path / "out", recipe, variants=["views.count=2"])


def test_a_figure_that_is_no_number_is_read_back_as_none(recipe: Recipe, tmp_path: Path) -> None:
    """A student that diverged has no cosine."""
    write_json(tmp_path / FIGURES_FILE, {"test": [], "rows": {"ptq_int8": {"cosine": np.nan, "agreement": 0.5}}})
    trial = Trial(None, None, "", 0, tmp_path, None, None, test=[])  # what is kept needs nothing else
    figures = trial.kept("figures", recipe, None)["ptq_int8"]
    assert np.isnan(figures["cosine"])
    assert figures["agreement"] == 0.5
