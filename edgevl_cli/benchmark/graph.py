"""What an ONNX file says of its network's size, and the product that a core runs fastest."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

PEAK_SIDE = 1024
PEAK_GMACS = PEAK_SIDE**3 / 1e9


class Size(NamedTuple):
    """Of a float network, at batch 1.

    Attributes:
        gmacs: multiply-accumulates of convolutions and matrix products / 1e9; None where a shape is not known before
            the network runs.
    """

    parameters: int
    gmacs: float | None


def size_of(fp32_onnx: Path) -> Size:
    """Parameters (float tensors of more than one number) and GMACs of a float file."""
    model = onnx.load(str(fp32_onnx))
    for graph_input in model.graph.input:
        graph_input.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]  # recorded for any batch
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = constants | {value.name: _shape(value) for value in [*graph.value_info, *graph.input, *graph.output]}
    counts = [_macs(node, shapes) for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    parameters = sum(
        math.prod(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > 1
    )
    return Size(parameters, None if None in counts else sum(filter(None, counts)) / 1e9)


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...] | None]) -> int | None:
    """Numbers in the output, times products that each is the sum of."""
    output, first, second = (shapes.get(name) for name in (node.output[0], node.input[0], node.input[1]))
    operand = second if node.op_type == "Conv" else first
    if output is None or operand is None:
        return None
    if node.op_type == "Conv":
        return math.prod(output) * math.prod(operand[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(output) * operand[0 if transposed else -1]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def write_peak(path: Path) -> Path:
    """A model that is one large product, u8 activations by s8 weights: (PEAK_SIDE, PEAK_SIDE) uint8 "x" -> int32."""
    weight = np.random.default_rng(0).integers(-127, 128, (PEAK_SIDE, PEAK_SIDE), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight"], ["y"])],
        "peak",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [PEAK_SIDE, PEAK_SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [PEAK_SIDE, PEAK_SIDE])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path
