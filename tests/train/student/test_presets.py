"""Students by name: what a recipe gets, and that every family becomes integers."""

import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine
from edgevl_train.quantise import dynamic_int8, export_fp32
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import build_student
from edgevl_train.student.presets import DEFAULT, PRESETS
from tests.train.quantise.quantised import agreement, cosine, float_kernels, op_counts, pixels_of, quantised_and_file

pytestmark = pytest.mark.train
DIM = 32


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_that_names_a_preset_takes_its_size_and_head(name):
    preset = PRESETS[name]
    section = StudentSection.model_validate({"name": name})
    assert (section.size_px, section.head) == (preset.size_px, preset.head)
    other = "linear" if preset.head == "mlp" else "mlp"
    section = StudentSection.model_validate({"name": name, "size_px": 96, "head": other})
    assert (section.size_px, section.head) == (96, other)


def test_any_other_backbone_has_the_general_defaults():
    section = StudentSection.model_validate({"name": "resnet10t"})
    assert (section.size_px, section.head) == (224, "linear")
    assert Recipe().student.name == DEFAULT
    with pytest.raises(UserError, match=r"student\.name"):
        parse_recipe({"student": {"name": ["efficientnet_b3"]}}, origin="r")


def test_the_resolved_recipe_names_the_preset_s_values(tmp_path):
    recipe = parse_recipe({"student": {"name": "efficientnet_b3"}, "cache": {"size_px": 320}}, origin="r")
    (tmp_path / "recipe.yaml").write_bytes(dump_recipe(recipe))
    assert "size_px: 300" in (tmp_path / "recipe.yaml").read_text()
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@torch.no_grad()
def test_a_transformer_is_built_for_the_size_asked_for():
    student = build_student("vit_tiny_patch16_224", DIM, size_px=64, backbone={"depth": 1}).eval()
    assert student(pixels_of(1)).shape == (1, DIM)
    assert build_student("resnet10t", DIM, size_px=64).eval()(pixels_of(1)).shape == (1, DIM)


@pytest.mark.parametrize(
    ("name", "size_px", "backbone", "head", "expected"),
    [
        (
            "mobilenetv4_conv_small",
            64,
            {"output_stride": 16},
            "linear",
            {"QLinearConv": 46, "QLinearAdd": 10, "QLinearGlobalAveragePool": 1, "QGemm": 1},
        ),
        pytest.param(
            *("mobileone_s0", 64, {}, "linear", {"QLinearConv": 43, "QLinearGlobalAveragePool": 1, "QGemm": 1}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "swin_tiny_patch4_window7_224",
            56,
            {"embed_dim": 32, "depths": (2, 1), "num_heads": (1, 2)},
            "mlp",
            {"QLinearConv": 1, "QGemm": 15},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_families_become_integers(name, size_px, backbone, head, expected, tmp_path):
    """Plain convolutions: test_quantise.py; DAT: test_dat.py."""
    torch.manual_seed(0)
    student = build_student(name, DIM, head=head, size_px=size_px, backbone=backbone)
    q, engine = quantised_and_file(student, tmp_path, size_px)
    counts = op_counts(engine.path)
    assert q.float_layers == []
    assert {key: counts.get(key) for key in expected} == expected
    assert not float_kernels(counts)
    assert agreement(q, engine) >= 0.999


def test_a_transformer_in_integers_trained_and_dynamic(tmp_path):
    torch.manual_seed(0)
    student = build_student("vit_tiny_patch16_224", DIM, head="mlp", size_px=64, backbone={"depth": 1})
    q, engine = quantised_and_file(student, tmp_path, 64)
    counts = op_counts(engine.path)
    assert {key: counts[key] for key in ("QLinearConv", "QGemm", "MatMul", "Gelu")} == {
        "QLinearConv": 1,
        "QGemm": 6,
        "MatMul": 1,
        "Gelu": 2,
    }
    assert not {"Erf", "Tanh"} & set(counts)
    assert not float_kernels(counts)
    assert agreement(q, engine) >= 0.999

    export_fp32(student, tmp_path / "fp32.onnx", 64)
    dynamic_int8(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx")
    counts = op_counts(tmp_path / "dynamic.onnx")
    integer = sum(counts.get(key, 0) for key in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"))
    assert integer == 6  # every linear layer; attention's products stay float
    pixels = pixels_of(8, seed=2).numpy()
    assert cosine(Engine(tmp_path / "dynamic.onnx")(pixels), Engine(tmp_path / "fp32.onnx")(pixels)).mean() > 0.999


@pytest.mark.slow
@pytest.mark.timeout(1200)  # exporting takes minutes where the processor is shared
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_as_it_is_runs_in_integers(name, tmp_path):
    preset = PRESETS[name]
    torch.manual_seed(0)
    student = build_student(name, DIM, head=preset.head, size_px=preset.size_px)
    layers = sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in student.modules())
    q, engine = quantised_and_file(student, tmp_path, preset.size_px)
    counts = op_counts(engine.path)
    assert q.float_layers == []
    assert counts.get("QLinearConv", 0) + counts["QGemm"] == layers
    assert not float_kernels(counts)
    assert agreement(q, engine) >= 0.999
