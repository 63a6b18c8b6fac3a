"""A checkpoint evaluates as the file that is exported from it, with a bundle beside it and before there is one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.labels import load_labels
from edgevl_core.bundle.manifest import BagRecord, ByModality, Provenance
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.pairlog.pairs import RgbdPair
from edgevl_train.evaluation.predictors import bundle_predictor, load_predictor
from edgevl_train.quantise import export_fp32, export_int8
from edgevl_train.recipe import Recipe
from edgevl_train.run_directory import Inputs, open_run
from edgevl_train.student.network import build_student
from edgevl_train.teacher.loading import Teacher, load_teacher, teacher_key
from edgevl_train.training.context import RunContext
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy
from tests.core.bundle.hostile import change_array
from tests.train.conftest import DIM, KINDS, make_run_data

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")
DRIVE = "d" * 64  # what a bag's hash looks like
CLIP = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Random weights will do: only its text tower is asked, and that it is the run's."""
    folder = tmp_path_factory.mktemp("teacher")
    (folder / "small.json").write_text(json.dumps(CLIP))
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**CLIP).state_dict(), folder / "weights.pt")
    return load_teacher(f"open_clip:{folder / 'small.json'}@{folder / 'weights.pt'}")


@pytest.fixture(scope="module")
def run(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages, really trained for an epoch; ``RUN/bundle`` of their best weights."""
    recipe = Recipe.model_validate(
        {
            "student": {"name": "test_resnet", "size_px": 32, "backbone": {"output_stride": 16}},
            "cache": {"size_px": 32},
            "views": {"count": 1, "flip": False},
            "stage1": {"epochs": 1, "batch": 32, "lr": 4e-3},
            "stage2": {"epochs": 1, "batch": 32, "lr": 1e-4, "calibration_pairs": 32},
        }
    )
    out = tmp_path_factory.mktemp("runs") / "run"
    open_run(out, Inputs((("drive", DRIVE),), teacher_key(teacher), "", "", ""), recipe)
    data, fabric = make_run_data(recipe, 128), Fabric(accelerator="cpu", devices=1, precision="32-true")
    torch.manual_seed(0)
    student = build_student("test_resnet", DIM, backbone=recipe.student.backbone)
    distil(student, data, recipe, RunContext(fabric, out))
    quantised = quantised_copy(student, data, recipe.stage2)
    contrast(quantised, data, recipe, RunContext(fabric, out))
    (out / "onnx").mkdir()
    export_fp32(student, out / "onnx/fp32.onnx", 32)
    export_int8(quantised, out / "onnx/int8.onnx", 32)
    names = load_labels(LABELS).names
    assert len(names) == KINDS
    write_bundle(
        out / "bundle",
        BundleContents(
            student_onnx=out / "onnx/int8.onnx",
            student_fp32_onnx=out / "onnx/fp32.onnx",
            answering=Answering(
                preprocess=recipe.robot_preprocess(),
                bank=LabelBank(tuple(names), ((),) * KINDS, ((),) * KINDS, data.bank),
                logit_scale=20.0,
                temperature=ByModality(rgb=2.0, depth=3.0, rgbd=2.5),
                unknown_threshold=ByModality(rgb=0.1, depth=0.2, rgbd=0.3),
            ),
            golden_pixels=np.ascontiguousarray(data.cache.full_rgb[:2].transpose(0, 3, 1, 2)),
            student="test_resnet",
            teacher=teacher.name,
            provenance=Provenance(created="2025-01-01T00:00:00Z", bags=(BagRecord(name="drive", sha256=DRIVE),)),
        ),
    )
    return out


def pairs() -> list[RgbdPair]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (6, 24, 32, 3), dtype=np.uint8)
    depth = rng.uniform(0.3, 5, (6, 24, 32)).astype(np.float32)
    return [RgbdPair(i, *both, 0.0, None) for i, both in enumerate(zip(rgb, depth, strict=True))]


@pytest.mark.parametrize(("stage", "fp32", "least"), [("stage1", True, 0.9999), ("stage2", False, 0.99)])
def test_a_checkpoint_is_the_student_that_is_exported_from_it(run: Path, stage: str, fp32: bool, least: float) -> None:
    ours = load_predictor(run / "checkpoints" / f"{stage}.pt", None)
    theirs = bundle_predictor(run / "bundle", fp32=fp32)
    mine, exported = ours.embed(pairs()), theirs.embed(pairs())
    for modality in ("rgb", "depth"):
        assert (getattr(mine, modality) * getattr(exported, modality)).sum(1).min() > least
    np.testing.assert_array_equal(mine.quality, exported.quality)
    assert ours.bank.names == theirs.bank.names
    assert (ours.logit_scale, ours.temperature, ours.unknown_threshold) == (
        theirs.logit_scale,
        theirs.temperature,
        theirs.unknown_threshold,
    )


def test_the_stages_differ_and_a_run_stands_for_its_last(run: Path) -> None:
    first, last, whole = (
        load_predictor(path, None) for path in (run / "checkpoints/stage1.pt", run / "checkpoints/stage2.pt", run)
    )
    assert (first.id, whole.id) == ("checkpoint run/stage1", "checkpoint run/stage2")
    assert first.trained_on == whole.trained_on == {DRIVE}
    np.testing.assert_array_equal(whole.embed(pairs()).rgb, last.embed(pairs()).rgb)
    assert not np.allclose(whole.embed(pairs()).rgb, first.embed(pairs()).rgb, atol=1e-3)


def test_before_the_bundle_labels_and_teacher_take_its_place(run: Path, teacher: Teacher, tmp_path: Path) -> None:
    for file in ("recipe.yaml", "inputs.json", "checkpoints/stage1.pt"):
        (tmp_path / "run" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / file).write_bytes((run / file).read_bytes())
    predictor = load_predictor(tmp_path / "run", LABELS, teacher)
    assert predictor.bank.vectors.shape == (KINDS, DIM)
    assert predictor.logit_scale == teacher.logit_scale
    assert predictor.embed(pairs()).depth.shape == (6, DIM)
    with pytest.raises(UserError, match="--labels and --teacher"):
        load_predictor(tmp_path / "run", LABELS)
    with pytest.raises(UserError, match="another teacher"):
        load_predictor(tmp_path / "run", LABELS, replace(teacher, weights_sha256="0" * 64))
    bf16 = replace(teacher, precision="bf16-mixed")  # the same teacher, run on another machine
    assert load_predictor(tmp_path / "run", LABELS, bf16).bank.names == predictor.bank.names


def test_another_teacher_of_the_same_size_is_refused(run: Path, teacher: Teacher) -> None:
    """Its embeddings lie in another space: agreement and cosine would be chance."""
    other = replace(teacher, weights_sha256="0" * 64)
    for model, words in (
        (run / "bundle", f"{run}/bundle was made with the teacher {teacher.name}, not {other.name}: pass"),
        (run, "another teacher"),
        (run / "checkpoints/stage1.pt", "another teacher"),
    ):
        with pytest.raises(UserError, match=words):
            load_predictor(model, None, other)
        assert load_predictor(model, None, teacher).bank.vectors.shape == (KINDS, DIM)


def test_what_is_no_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "deep" / "stage1.pt"
    lonely.parent.mkdir()
    lonely.write_bytes((run / "checkpoints/stage1.pt").read_bytes())
    copy = tmp_path / "copy"
    (copy / "checkpoints").mkdir(parents=True)
    (copy / "bundle").symlink_to(run / "bundle")
    (copy / "recipe.yaml").write_bytes((run / "recipe.yaml").read_bytes())
    (copy / "checkpoints/stage1.pt").write_bytes(b"not a checkpoint")
    (copy / "checkpoints/stage2.pt").write_bytes(lonely.read_bytes())
    cases = [
        (tmp_path / "nothing", "is no model"),
        (run / "recipe.yaml", "is no model"),
        (lonely, "no recipe.yaml"),
        (copy / "checkpoints/stage1.pt", "is no stage1 checkpoint of test_resnet"),
        (copy / "checkpoints/stage2.pt", "is no stage2 checkpoint of test_resnet"),
    ]
    for path, words in cases:
        with pytest.raises(UserError, match=words) as refusal:
            load_predictor(path, None)
        assert "\n" not in str(refusal.value)
    for state in ({"a": 1}, [1], {"a": "one"}):
        torch.save({"best": {"state": state, "epoch": 0}, "epoch": 1}, copy / "checkpoints/stage1.pt")
        with pytest.raises(UserError, match="is no stage1 checkpoint of test_resnet"):
            load_predictor(copy / "checkpoints/stage1.pt", None)


def test_a_label_bank_that_is_not_its_manifests_is_refused(run: Path, tmp_path: Path) -> None:
    """Every word with its neighbour's vector: the figures would be of another label set."""
    copy = shutil.copytree(run, tmp_path / "copy")
    change_array(copy / "bundle", "label_bank.npz", "vectors", lambda vectors: np.roll(vectors, 1, axis=0))
    with pytest.raises(UserError, match=r"label_bank\.npz has SHA-256 .*, the manifest says"):
        load_predictor(copy, None)
