"""From a bag to a bundle, small: every step is the real one."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.resources import resource
from edgevl_core.bundle.manifest import read_manifest
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.bundle.vocabulary import bank_with
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_train.adapt import adapt
from edgevl_train.evaluation import evaluate as evaluation
from edgevl_train.evaluation.evaluate import confusion_matrix, evaluate, top1_and_macro
from edgevl_train.metrics_file import read_records
from edgevl_train.plan import plan
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe
from edgevl_train.teacher.loading import load_teacher
from tests.train.logged import almost, curves, in_tensorboard
from tests.train.quantise.quantised import op_counts

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


@pytest.fixture
def recipe(run_recipe: Recipe) -> Recipe:
    return run_recipe


@pytest.fixture
def run(finished_run: Path) -> Path:
    return finished_run


def test_run_directory_is_complete(run: Path, sim_bag: Path, recipe: Recipe) -> None:
    status = json.loads((run / "status.json").read_text())
    bundle = load_bundle(run / "bundle")
    assert status["state"] == "succeeded"
    assert status["exit_code"] == 0
    assert status["bundle_path"] == str(run / "bundle")
    assert status["bundle_id"] == bundle.manifest.bundle_id
    assert load_recipe(run / "recipe.yaml") == recipe
    report = json.loads((run / "report.json").read_text())
    assert set(report["students"]) == {"fp32", "ptq", "int8"}
    assert report["pairs"]["val"] > 0
    assert set(report["wall_s"]) == {"cache", "teacher", "stage1", "stage2", "export"}
    calibration = np.load(run / "calibration.npz")["pixels"]
    size_px = recipe.student.size_px
    assert (calibration.shape[1:], calibration.dtype) == ((3, size_px, size_px), np.uint8)
    assert 2 * report["pairs"]["train"] >= len(calibration) > 0
    assert (run / "onnx/s8.onnx").is_file()
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")
    record = bundle.manifest.provenance.bags[0]
    assert (record.name, record.pairs, record.registered) == ("homes", 96, "unknown, no camera_info of depth")
    assert bundle.manifest.provenance.software["torch"]
    assert load_bundle(run / "bundle_ptq").manifest.bundle_id != bundle.manifest.bundle_id


def test_a_logger_beside_the_run_has_what_the_run_has(run: Path) -> None:
    shown = in_tensorboard(run / "tensorboard" / run.name)
    assert {"stage1/loss", "stage2/loss"} <= shown.keys()
    assert shown == almost(curves(read_records(run)))


def test_bundle_answers_and_runs_in_integers(run: Path, sim_bag: Path) -> None:
    bundle = load_bundle(run / "bundle")
    pair = next(read_pairs(sim_bag))
    scene = Classifier(bundle).classify(pair.rgb, pair.depth_m)
    assert scene.modality == "rgbd"
    assert sum(scene.scores) == pytest.approx(1, abs=1e-4)
    counts = op_counts(bundle.engine.path)
    assert counts["QLinearConv"] > 5
    assert "Conv" not in counts


def test_a_bundle_with_the_text_tower_takes_any_word(
    sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    quick = recipe.model_copy(update={"text_encoder": True, "stage1": recipe.stage1.model_copy(update={"epochs": 1})})
    bundle = load_bundle(adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", quick))
    bank = bank_with(bundle.label_bank, ["café terrace"], bundle.text_encoder)
    teacher = load_teacher(f"open_clip:@{teacher_directory}")
    expected = teacher.encode_text(list(bank.prompts[bank.find("café terrace")])).mean(0)
    assert bank.vectors[-1] @ expected / np.linalg.norm(expected) > 0.999


def test_a_text_tower_that_cannot_be_exported_is_refused_before_the_training(
    sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    other = shutil.copytree(teacher_directory, tmp_path / "teacher")
    config = json.loads((other / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    (other / "open_clip_config.json").write_text(json.dumps(config))
    asked = recipe.model_copy(update={"text_encoder": True})
    with pytest.raises(UserError, match=r"neither CLIP's plain BPE nor a tokenizer\.json"):
        adapt([sim_bag], f"open_clip:@{other}", LABELS, tmp_path / "run", asked)
    assert not (tmp_path / "run").exists()


def test_two_models_are_compared_in_one_pass_with_one_teacher(
    run: Path, sim_bag: Path, bag_without_truth: Path, teacher_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, bags = f"open_clip:@{teacher_directory}", [bag_without_truth, sim_bag]
    alone = [evaluate(run / name, bags, labels=LABELS, teacher=spec) for name in ("bundle", "bundle_ptq")]
    loaded = []

    def counted(*arguments: object, **options: object) -> object:
        loaded.append(arguments)
        return load_teacher(*arguments, **options)

    monkeypatch.setattr(evaluation, "load_teacher", counted)
    both = evaluate(run / "bundle", bags, against=run / "bundle_ptq", labels=LABELS, teacher=spec)
    assert loaded == [(spec,)]
    assert [both, both.pop("current")] == alone
    of_first = evaluate(run / "bundle", bags[:1], labels=LABELS, teacher=spec)["teacher_agreement"]
    assert both["teacher_agreement_by_bag"] == [of_first, of_first]


def test_truth_is_never_read(
    run: Path, bag_without_truth: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    blind = adapt([bag_without_truth], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", recipe)
    for file in ("student.onnx", "student_fp32.onnx", "golden.npz"):
        assert sha256_file(blind / file) == sha256_file(run / "bundle" / file), file


def test_evaluation_of_bundle_and_teacher(run: Path, sim_bag: Path, teacher_directory: Path) -> None:
    spec = f"open_clip:@{teacher_directory}"
    numbers = evaluate(run / "bundle", [sim_bag], labels=LABELS, teacher=spec)
    assert numbers["samples"] == 96
    assert numbers["with_furniture"] <= numbers["labelled"] == 96
    for figure in ("top1", "macro", "top1_all_frames", "teacher_agreement", "teacher_cosine", "abstention", "ece"):
        assert set(numbers[figure]) == {"rgb", "depth", "rgbd"}, figure
        assert all(-1 <= value <= 1 for value in numbers[figure].values())
    matrix = np.array(numbers["confusion"]["depth"])
    assert matrix.sum() == numbers["with_furniture"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(numbers["top1"]["depth"])
    assert numbers["trained_on"] == evaluate(run / "checkpoints/stage1.pt", [sim_bag])["trained_on"] == [str(sim_bag)]
    itself = evaluate(spec, [sim_bag], labels=LABELS, teacher=spec)
    assert itself["teacher_agreement"]["rgb"] == 1
    assert itself["teacher_cosine"]["rgb"] == pytest.approx(1, abs=1e-5)
    assert json.loads(json.dumps(numbers)) == numbers


def test_unlabelled_bags_are_compared_with_the_teacher_only(
    run: Path, bag_without_truth: Path, teacher_directory: Path
) -> None:
    numbers = evaluate(run / "bundle", [bag_without_truth], teacher=f"open_clip:@{teacher_directory}")
    assert numbers["labelled"] == 0
    assert numbers["top1"] == {}
    assert set(numbers["ece"]) == {"rgb", "depth", "rgbd"}


def test_figures_against_their_definitions() -> None:
    matrix = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert matrix.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]
    top1, macro = top1_and_macro(matrix)
    assert top1 == pytest.approx(3 / 4)
    assert macro == pytest.approx((2 / 3 + 1) / 2)


def test_plan_writes_nothing(sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path) -> None:
    text = plan([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", recipe)
    assert "96 pairs, split by time: 57 to train on (before curation), 19 to validate, 20 in gaps" in text
    picture = next(line for line in text.splitlines() if line.startswith(str(sim_bag))).split()[-1]
    assert len(picture) == 60
    assert (picture.count("V") > 10, set(picture)) == (True, set(".-V"))
    assert not (tmp_path / "run").exists()


def test_plan_says_what_the_reader_lost(sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path) -> None:
    bag = shutil.copytree(sim_bag, tmp_path / "cut")
    file = next(bag.glob("*.mcap"))
    os.truncate(file, file.stat().st_size * 9 // 10)
    with BagReader(bag) as reader:
        losses = list(reader.losses)
    text = plan([bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", recipe)
    assert losses
    assert all(f"lost: {bag}: {loss}" in text.splitlines() for loss in losses)


def test_wrong_input_is_one_line_and_leaves_nothing(
    sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path, run: Path
) -> None:
    spec, out = f"open_clip:@{teacher_directory}", tmp_path / "run"
    empty = tmp_path / "empty.yaml"
    empty.write_text("labels: []\n")
    cases = [
        (([], spec, LABELS, out, recipe), "no bags given"),
        (([sim_bag, sim_bag], spec, LABELS, out, recipe), "given twice"),
        (([tmp_path / "no"], spec, LABELS, out, recipe), "no such bag"),
        (([sim_bag], spec, empty, out, recipe), "no labels"),
        (([sim_bag], "open_clip:@nowhere", LABELS, out, recipe), "does not exist"),
        (([sim_bag], spec, LABELS, run, recipe), "exists"),
    ]
    for arguments, words in cases:
        with pytest.raises(UserError, match=words):
            adapt(*arguments)
    assert not out.exists()


def test_zero_kept_pairs_fail_with_the_threshold_and_are_recorded(
    sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    strict = recipe.model_copy(
        update={"curation": recipe.curation.model_copy(update={"method": "threshold", "threshold": 1.0})}
    )
    with pytest.raises(UserError, match=r"curation\.threshold=1\.0"):
        adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", strict)
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 2)
    assert "curation.threshold" in status["message"]


def stage1_lines(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == "stage1"]


def test_a_run_may_start_from_an_earlier_one(
    run: Path, sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    heir = with_student(recipe, start_from=run)
    adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, tmp_path / "run", heir)
    best = max(stage1_lines(run), key=lambda line: line["score"])
    first = stage1_lines(tmp_path / "run")[0]
    assert first["epoch"] == 0
    for name in ("cos_rgb", "cos_depth", "score"):
        assert first[name] == pytest.approx(best[name], abs=1e-4)


def with_student(recipe: Recipe, **changes: object) -> Recipe:
    student = recipe.student.model_dump() | changes
    return parse_recipe(recipe.model_dump() | {"student": student}, origin="test")


def test_an_earlier_run_that_does_not_fit_is_refused(
    run: Path, sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path
) -> None:
    spec = f"open_clip:@{teacher_directory}"

    def refused(reason: str, **changes: object) -> None:
        with pytest.raises(UserError, match=reason):
            adapt([sim_bag], spec, LABELS, tmp_path / "run", with_student(recipe, **changes))
        assert not (tmp_path / "run").exists()

    refused(r"start_from=.*no checkpoints/stage1\.pt", start_from=tmp_path)
    refused(r"its student has name 'test_resnet', not 'resnet10t'", start_from=run, name="resnet10t")
    refused("pretrained and start_from are both given", start_from=run, pretrained=tmp_path / "w.safetensors")
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    inputs = json.loads((changed / "inputs.json").read_text())
    (changed / "inputs.json").write_text(json.dumps(inputs | {"teacher": "another"}))
    refused("made with another teacher", start_from=changed)
    (changed / "inputs.json").write_text(json.dumps(inputs))
    (changed / "bundle/manifest.json").unlink()
    refused(r"start_from=.*it has no manifest\.json; .*or remove that bundle", start_from=changed)


def test_a_teacher_that_says_one_thing_makes_a_bundle_that_says_it_should_not_be_used(
    sim_bag: Path, teacher_directory: Path, recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "one.yaml"
    labels.write_text("templates: ['a photo of {a} {}']\nlabels: [{name: kitchen}]\n")
    stages = {"stage1": {"epochs": 2, "batch": 16, "warmup_steps": 50}, "stage2": {"epochs": 0}}
    short = parse_recipe(recipe.model_dump() | stages, origin="t")
    bundle = adapt([sim_bag], f"open_clip:@{teacher_directory}", labels, tmp_path / "run", short)
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert not report["decision"]["deploy"]
    assert "the teacher calls all pairs 'kitchen'" in report["decision"]["sentence"]
    assert report["stage1"]["epoch"] == 2  # nothing could choose: the last one
    manifest = read_manifest(bundle)
    assert manifest.metrics["training"]["warnings"] == report["warnings"]
    pair = next(read_pairs(sim_bag))
    assert not Classifier(load_bundle(bundle)).classify(pair.rgb, pair.depth_m).known
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["refused"]) == ("succeeded", report["decision"]["sentence"])
    told = capsys.readouterr().err
    assert "validation covers 1 of the 1 labels" in told
    assert "warning: the teacher calls all pairs 'kitchen'" in told
    assert "warning: stage1.warmup_steps=50 of " in told


def test_progress_reaches_the_end(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [
        ("stage1", 1),
        ("stage1", 2),
        ("stage2", 0),
        ("stage2", 1),
    ]
