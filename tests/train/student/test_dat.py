"""DAT: what the paper says of it, and the way to integers."""

import onnx
import pytest
import torch
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine
from edgevl_train.quantise import export_fp32
from edgevl_train.student.dat import DeformableAttention
from edgevl_train.student.network import build_student
from tests.train.quantise.quantised import agreement, cosine, float_kernels, op_counts, pixels_of, quantised_and_file

pytestmark = pytest.mark.train
SIZE_PX, DIM = 128, 24
SMALL = {"embed_dim": 32, "depths": (0, 2, 0, 2)}  # shifted windows in stage 2, two deformable groups in stage 4


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return build_student("dat_tiny", DIM, size_px=SIZE_PX, backbone=SMALL).eval()


def test_dat_tiny_is_as_large_as_in_the_paper():
    student = build_student("dat_tiny", 1000)  # with a classifier of 1000 classes, as the paper counts
    assert sum(p.numel() for p in student.parameters()) == pytest.approx(29e6, rel=0.05)
    kinds = [[type(m).__name__[0] for m in stage[1:]] for stage in student.backbone.stages]
    assert kinds == [["S", "S"], ["S", "S"], ["S", "D"] * 3, ["S", "D"]]  # Swin's blocks, deformable ones
    deformable = [m for m in student.modules() if isinstance(m, DeformableAttention)]
    assert [(m.side, m.heads, m.groups) for m in deformable] == [(14, 12, 3)] * 3 + [(7, 24, 6)]


@torch.no_grad()
def test_pixels_become_unit_vectors(student):
    embedding = student(pixels_of(3, size_px=SIZE_PX))
    assert embedding.shape == (3, DIM)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


@torch.no_grad()
def test_without_offsets_it_is_global_attention_with_relative_positions():
    torch.manual_seed(0)
    side, dim, heads = 4, 256, 8
    attention = DeformableAttention(dim, side)
    attention.offset[-1].weight.zero_()
    x = torch.randn(2, side, side, dim)
    q, k, v = (
        layer(x).reshape(2, side**2, heads, 32).transpose(1, 2)
        for layer in (attention.query, attention.key, attention.value)
    )
    row, column = torch.arange(side**2) // side, torch.arange(side**2) % side
    dy, dx = row[:, None] - row + side - 1, column[:, None] - column + side - 1
    bias = attention.position_bias[:, dy, dx]
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    expected = attention.project(expected.transpose(1, 2).reshape(2, side, side, dim))
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-4)


def test_the_points_learn():
    torch.manual_seed(0)
    attention = DeformableAttention(128, 4)
    attention(torch.randn(2, 4, 4, 128)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in attention.offset.parameters())


@pytest.mark.parametrize("backbone", [{"img_size": 100}, {"embed_dim": 40}, {"depths": (2, 2)}, {"window": 7}])
def test_sizes_that_do_not_divide_are_refused(backbone):
    with pytest.raises(UserError, match="does not take the backbone arguments"):
        build_student("dat_tiny", DIM, backbone=backbone)


@torch.no_grad()
def test_the_float_file_samples_and_agrees(student, tmp_path):
    export_fp32(student, tmp_path / "fp32.onnx", SIZE_PX)
    model = onnx.load(tmp_path / "fp32.onnx")
    assert model.opset_import[0].version >= 18
    # One deformable block: the map is sampled, and the table of relative positions.
    assert sum(node.op_type == "GridSample" for node in model.graph.node) == 2
    pixels = pixels_of(4, size_px=SIZE_PX)
    assert cosine(Engine(tmp_path / "fp32.onnx")(pixels.numpy()), student(pixels).numpy()).min() >= 0.9999


def test_the_int8_file_computes_in_integers_and_agrees(student, tmp_path):
    q, engine = quantised_and_file(student, tmp_path, SIZE_PX)
    counts = op_counts(engine.path)
    assert q.float_layers == []
    assert {key: counts[key] for key in ("QLinearConv", "QGemm", "GridSample")} == {
        "QLinearConv": 6,  # four patch layers, two of the offset network
        "QGemm": 19,  # three windows with 4 linear layers each, one deformable block with 6, the head
        "GridSample": 2,
    }
    assert not float_kernels(counts)
    assert engine.free_batch
    assert agreement(q, engine) >= 0.999
