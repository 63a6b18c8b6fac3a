"""Fake quantisation, training through it, and int8 files that really run as integers."""

import copy

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine
from edgevl_train.quantise import (
    calibrate,
    dynamic_int8,
    export_float_of,
    export_fp32,
    export_int8,
    fake_quantise,
    float_copy,
    fuse,
    ptq_int8,
)
from edgevl_train.quantise.fake import ActivationQuantiser, QuantisedLayer, weight_scale
from edgevl_train.student.network import build_student
from tests.paths import ROOT
from tests.train.quantise.quantised import cosine, float_kernels, observe_ranges, op_counts, pixels_of, warm_up

pytestmark = pytest.mark.train
SIZE_PX, DIM = 64, 32


def _train(network: nn.Module, steps: int, lr: float) -> list[float]:
    """Distil random targets that depend smoothly on the picture; returns the losses."""
    torch.manual_seed(0)
    pixels = pixels_of(128)
    coarse = functional.adaptive_avg_pool2d(pixels.float(), 3).flatten(1)
    coarse = (coarse - coarse.mean(dim=0)) @ torch.randn(27, DIM)
    targets = functional.normalize(coarse, dim=1)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr)
    losses = []
    for step in range(steps):
        rows = torch.arange(32) + 32 * (step % 4)
        loss = (1 - (network(pixels[rows]) * targets[rows]).sum(dim=1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def student():
    """resnet10t of stride 16, a few steps old, so that its features mean something."""
    torch.manual_seed(0)
    network = build_student("resnet10t", DIM, backbone={"output_stride": 16})
    losses = _train(network.train(), 24, 3e-3)
    assert losses[-1] < 0.7 * losses[0]
    return network.eval()


@pytest.fixture(scope="module")
def quantised(student):
    return calibrate(fake_quantise(fuse(student)), [pixels_of(64, seed=1)]).eval()


@pytest.fixture(scope="module")
def files(student, quantised, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    export_fp32(student, folder / "fp32.onnx", SIZE_PX)
    export_int8(quantised, folder / "int8.onnx", SIZE_PX)
    return folder


def test_the_layout_that_weights_have_in_training_is_not_in_the_file(student, files, tmp_path):
    trained = copy.deepcopy(student).to(memory_format=torch.channels_last)
    export_fp32(trained, tmp_path / "fp32.onnx", SIZE_PX)
    assert (tmp_path / "fp32.onnx").read_bytes() == (files / "fp32.onnx").read_bytes()
    assert not {"Range", "Gather"} & {node.op_type for node in onnx.load(tmp_path / "fp32.onnx").graph.node}


def test_a_student_that_was_left_in_training_is_of_the_same_structure(quantised, files, tmp_path, monkeypatch):
    """The next file of it takes no second export."""
    left = copy.deepcopy(quantised).train()
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("exported again"))
    export_int8(left, tmp_path / "int8.onnx", SIZE_PX)
    assert (tmp_path / "int8.onnx").read_bytes() == (files / "int8.onnx").read_bytes()


@torch.no_grad()
def test_fusing_changes_nothing(student):
    fused, pixels = fuse(student), pixels_of(4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    torch.testing.assert_close(fused(pixels), student(pixels), atol=1e-5, rtol=1e-4)
    assert any(isinstance(module, nn.BatchNorm2d) for module in student.modules())


@pytest.mark.parametrize("name", ["mobileone_s0", "repvit_m1", "ghostnetv3_100"])
@torch.no_grad()
def test_branches_are_merged_before_quantisation(name):
    torch.manual_seed(0)
    student = build_student(name, DIM)
    warm_up(student, pixels_of(8))
    fused, pixels = fuse(student), pixels_of(4, seed=1)
    convolutions, before = (sum(isinstance(m, nn.Conv2d) for m in network.modules()) for network in (fused, student))
    assert convolutions < before
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(pixels), student(pixels), atol=1e-4, rtol=0)


@torch.no_grad()
def test_quantisation_stays_close_to_float(student, quantised):
    pixels = pixels_of(16, seed=2)
    assert cosine(quantised(pixels).numpy(), student(pixels).numpy()).mean() > 0.98
    assert quantised.float_layers == []


@torch.no_grad()
def test_float_runtime_agrees(student, files):
    pixels = pixels_of(4, seed=3)
    assert cosine(Engine(files / "fp32.onnx")(pixels.numpy()), student(pixels).numpy()).min() > 0.99999


@torch.no_grad()
def test_integer_runtime_agrees_with_fake_quantisation(quantised, files):
    pixels = pixels_of(32, seed=4)
    actual = Engine(files / "int8.onnx")(pixels.numpy())
    assert cosine(actual, quantised(pixels).numpy()).mean() >= 0.999


@torch.no_grad()
def test_the_float_form_keeps_the_trained_weights(quantised, tmp_path):
    q = copy.deepcopy(quantised)
    for module in q.modules():  # as if trained on from the float student
        if isinstance(module, QuantisedLayer):
            module.layer.weight.mul_(1 + 0.1 * torch.rand_like(module.layer.weight))
    form = dict(float_copy(q).named_parameters())
    trained = [m.layer for m in q.modules() if isinstance(m, QuantisedLayer)]
    assert len(form) == 2 * len(trained)
    assert all(any(torch.equal(layer.weight, value) for value in form.values()) for layer in trained)

    export_float_of(q, tmp_path / "fp32.onnx", SIZE_PX)
    operators = {node.op_type for node in onnx.load(tmp_path / "fp32.onnx").graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}
    pixels = pixels_of(16, seed=9)
    floating = Engine(tmp_path / "fp32.onnx")(pixels.numpy())
    assert cosine(floating, q(pixels).numpy()).mean() > 0.99
    assert cosine(floating, float_copy(q)(pixels).numpy()).min() > 0.99999


def test_the_optimised_graph_computes_in_integers(files):
    counts = op_counts(files / "int8.onnx")
    layers = sum(isinstance(m, nn.Conv2d) for m in build_student("resnet10t", DIM).modules())
    assert counts["QLinearConv"] == layers
    assert counts["QLinearAdd"] == 4
    assert counts["QGemm"] == 1
    assert not float_kernels(counts)


def test_the_file_holds_integers_and_takes_pixels(files):
    graph = onnx.load(files / "int8.onnx").graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    (first,) = (node for node in graph.node if "pixels" in node.input)
    readers = {node.op_type for node in graph.node if first.output[0] in node.input}
    assert (first.op_type, readers) == ("Gather", {"DequantizeLinear"})  # a fourth channel; no float image
    large = [tensor for tensor in graph.initializer if np.prod(tensor.dims) > 1000]
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.INT8}
    int8_bytes, fp32_bytes = ((files / name).stat().st_size for name in ("int8.onnx", "fp32.onnx"))
    assert int8_bytes < 0.3 * fp32_bytes


@pytest.mark.parametrize("name", ["int8.onnx", "fp32.onnx"])
def test_the_file_tells_nothing_of_the_machine_that_made_it(files, name):
    raw = (files / name).read_bytes()
    for told in (str(ROOT), torch.__file__.rpartition("/torch/")[0], "stack_trace"):
        assert told.encode() not in raw


@pytest.mark.parametrize("name", ["int8.onnx", "fp32.onnx"])
def test_one_picture_alone_or_in_a_batch(files, name):
    engine, pixels = Engine(files / name), pixels_of(4, seed=5).numpy()
    assert engine.free_batch
    alone = np.concatenate([engine(pixels[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(alone, engine(pixels), atol=1e-5)


def test_training_through_the_quantisers_learns_and_repeats_itself(student):
    def run():
        q = calibrate(fake_quantise(fuse(student)), [pixels_of(32, seed=1)]).train()
        observe_ranges(q, True)
        return _train(q, 5, 1e-4), q

    (first, q), (second, again) = run(), run()
    assert first == second
    assert first[-1] < first[0]
    for name, value in q.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], rtol=0, atol=0)


def test_state_dict_and_deepcopy_carry_the_ranges(student, quantised):
    fresh = fake_quantise(fuse(student))
    fresh.load_state_dict(quantised.state_dict())
    pixels = pixels_of(3, seed=6)
    with torch.no_grad():
        expected = quantised(pixels)
        torch.testing.assert_close(fresh.eval()(pixels), expected, rtol=0, atol=0)
        twin = copy.deepcopy(quantised)
        torch.testing.assert_close(twin(pixels), expected, rtol=0, atol=0)
        for quantiser in twin.quantisers():
            quantiser.high.mul_(0.5)
        layers = [m for m in twin.modules() if isinstance(m, QuantisedLayer)]
        originals = [m for m in quantised.modules() if isinstance(m, QuantisedLayer)]
        assert layers[1].input_scale() < originals[1].input_scale()  # the copy uses its own quantisers


def test_ranges_move_only_while_observing_and_training(quantised):
    q = copy.deepcopy(quantised)
    before = copy.deepcopy(q.state_dict())
    for observing, training, moves in ((False, True, False), (True, False, False), (True, True, True)):
        observe_ranges(q, observing)
        q.train(training)(pixels_of(2, seed=7))
        moved = any(not torch.equal(value, before[name]) for name, value in q.state_dict().items())
        assert moved == moves


def test_activation_quantiser_follows_the_definition():
    quantiser = ActivationQuantiser()
    quantiser.low.fill_(-1.0)
    quantiser.high.fill_(3.0)
    x = torch.linspace(-2, 4, 101, requires_grad=True)
    y = quantiser(x)
    scale, zero_point = quantiser.scale_and_zero_point()
    q = (x.detach() / scale + zero_point).round().clamp(0, 255)
    torch.testing.assert_close(y.detach(), (q - zero_point) * scale)
    assert y.detach().unique().numel() > 60
    assert quantiser(torch.zeros(1)) == 0  # padding stays exact
    y.sum().backward()
    inside = (x.detach() > -0.98) & (x.detach() < 2.98)
    assert (x.grad[inside] == 1).all()
    assert (x.grad[(x.detach() < -1.05) | (x.detach() > 3.05)] == 0).all()


def test_a_dead_channel_with_a_large_bias_fits_int32():
    weight, bias = torch.zeros(2, 3, 1, 1), torch.tensor([100.0, 0.0])
    weight[1] = 1.27
    input_scale = torch.tensor(1e-3)
    scale = weight_scale(weight, bias, input_scale)
    assert (bias / (input_scale * scale)).abs().max() <= 2**30
    assert scale[1] == pytest.approx(0.01)


def test_the_bias_is_rounded_as_in_the_file_and_still_learns():
    source = ActivationQuantiser()
    source.high.fill_(255.0)  # scale 1
    layer = QuantisedLayer(nn.Linear(1, 2), source)
    with torch.no_grad():
        layer.layer.weight.fill_(127.0)  # scale 1
        layer.layer.bias.copy_(torch.tensor([0.4, -2.6]))
    y = layer(torch.zeros(1, 1))
    torch.testing.assert_close(y, torch.tensor([[0.0, -3.0]]))
    y.sum().backward()
    assert layer.layer.bias.grad.tolist() == [1, 1]


def test_calibration_needs_data_and_known_methods(student):
    q = fake_quantise(fuse(student))
    with pytest.raises(UserError, match="0 batches"):
        calibrate(q, [])
    with pytest.raises(UserError, match="percentile 30"):
        calibrate(q, [pixels_of(2)], percentile=30)


def test_the_percentile_ignores_outliers(student):
    pixels = [pixels_of(16)]
    wide, tight = (
        calibrate(fake_quantise(fuse(student)), pixels, method=method, percentile=99.9)
        for method in ("minmax", "percentile")
    )
    ratios = [float(t.high / w.high) for w, t in zip(wide.quantisers(), tight.quantisers())]
    assert max(ratios) <= 1
    assert min(ratios) < 0.9


def test_static_and_dynamic_baselines(student, files):
    pixels = pixels_of(32, seed=8).numpy()
    ptq_int8(files / "fp32.onnx", [pixels_of(32, seed=1).numpy()], files / "ptq.onnx")
    dynamic_int8(files / "fp32.onnx", files / "dynamic.onnx")
    expected = Engine(files / "fp32.onnx")(pixels)
    static = Engine(files / "ptq.onnx")
    assert cosine(static(pixels), expected).mean() > 0.98
    assert op_counts(static.path)["QLinearConv"] == 14
    assert cosine(Engine(files / "dynamic.onnx")(pixels), expected).mean() > 0.99
    with pytest.raises(UserError, match="0 batches"):
        ptq_int8(files / "fp32.onnx", [], files / "none.onnx")
