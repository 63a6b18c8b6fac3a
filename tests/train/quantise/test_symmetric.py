"""The s8 file: by TensorRT's rules, and nearly the answers of the file for CPUs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgevl_core.engine import Engine, inspect_onnx
from edgevl_train.quantise import export_fp32, export_s8
from edgevl_train.student.network import build_student
from tests.paths import ROOT
from tests.train.quantise.quantised import cosine, pixels_of, quantised_and_file, warm_up

pytestmark = pytest.mark.train
SIZE_PX, DIM = 64, 32


# Its graph asks the pixels for their number first.
VIT = {"img_size": SIZE_PX, "patch_size": 8, "depth": 1, "dynamic_img_size": False}


@pytest.mark.parametrize(("name", "backbone"), [("resnet10t", {"output_stride": 16}), ("test_vit", VIT)])
def test_the_s8_file_keeps_to_tensorrts_rules_and_to_the_cpus_answers(
    name: str, backbone: dict[str, object], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    student = build_student(name, DIM, size_px=SIZE_PX, backbone=backbone)
    q, on_cpu = quantised_and_file(student, tmp_path, SIZE_PX)
    file = tmp_path / "s8.onnx"
    export_s8(q, file, SIZE_PX)

    graph = onnx.load(file).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantising = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(quantising) > 10
    for node in quantising:
        zero_point = constants[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
    dequantised = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert {constants[name].dtype for name in dequantised & set(constants)} == {np.dtype(np.int8)}
    biases = [node.input[2] for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) == 3]
    assert biases
    assert all(constants[name].dtype == np.float32 for name in biases)

    pixels = pixels_of(32, seed=1, size_px=SIZE_PX).numpy()
    assert cosine(Engine(file)(pixels), on_cpu(pixels)).min() >= 0.995
    inspect_onnx(file)  # a bundle may hold it
    onnx.shape_inference.infer_shapes(
        onnx.load(file), check_type=True, strict_mode=True
    )  # as other tool chains read it
    assert ("GlobalAveragePool" in {node.op_type for node in graph.node}) == (name == "resnet10t")


def test_the_how_to_makes_a_file_of_float_pixels_for_other_tool_chains(tmp_path: Path) -> None:
    """The Python of docs/npu.md, as it stands there."""
    text = (ROOT / "docs/npu.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    torch.manual_seed(0)
    student = build_student("test_resnet", DIM)
    pixels = pixels_of(4, size_px=SIZE_PX)
    warm_up(student, pixels)
    (tmp_path / "run/onnx").mkdir(parents=True)
    export_fp32(student, tmp_path / "run/onnx/int8_float.onnx", SIZE_PX)
    np.savez(tmp_path / "run/calibration.npz", pixels=pixels.numpy())
    exec(program.replace("run/", f"{tmp_path}/run/").replace('"npu', f'"{tmp_path}/npu'), {})

    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "npu/student.onnx"), providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    assert (port.shape, port.type) == ([1, 3, SIZE_PX, SIZE_PX], "tensor(float)")
    of_floats = session.run(None, {"pixels": pixels[:1].float().numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(of_floats, student(pixels[:1]).numpy(), atol=1e-4)
    names = (tmp_path / "npu/dataset.txt").read_text().split()
    assert len(names) == 4
    one = np.load(tmp_path / "npu" / names[0])
    assert (one.shape, one.dtype) == ((1, 3, SIZE_PX, SIZE_PX), np.float32)
    assert (tmp_path / "npu/calibration.tar").stat().st_size > 4 * one.nbytes
    assert np.load(tmp_path / "npu/calibration_nhwc.npy").shape == (4, SIZE_PX, SIZE_PX, 3)
