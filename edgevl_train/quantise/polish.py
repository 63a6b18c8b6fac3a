"""Small changes to an exported graph that make the runtimes choose their fast kernels; what it computes stays."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

_CHANNEL_MULTIPLE = 4  # ONNX Runtime's fast integer convolution takes whole words of four bytes


def polish(model: onnx.ModelProto) -> None:
    """Change a student's graph, float or QDQ, in place."""
    graph = model.graph
    _average_globally(graph)
    _own_zero_points(graph)
    _fill_up_channels(graph)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _average_globally(graph: onnx.GraphProto) -> None:
    """A mean over height and width as GlobalAveragePool, for which there is an integer kernel."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
    for node in graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        keeps = all(attribute.i == 1 for attribute in node.attribute if attribute.name == "keepdims")
        if keeps and ranks.get(node.input[0]) == 4 and sorted(axis % 4 for axis in axes) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            del node.input[1], node.attribute[:]


def _own_zero_points(graph: onnx.GraphProto) -> None:
    """Equal zero points of weights, which the exporter merges, as one tensor for each layer again.

    Where a convolution and a linear layer share one, OpenVINO runs both, and what is before them, in float.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants and len(node.input) == 3:
            own = onnx.TensorProto()
            own.CopyFrom(constants[node.input[2]])
            own.name = node.input[2] = f"{node.input[0]}_own_zero_point"
            graph.initializer.append(own)


def _fill_up_channels(graph: onnx.GraphProto) -> None:
    """A fourth channel for the first convolution: blue once more, with weights of 0."""
    source = next(node for node in graph.node if graph.input[0].name in node.input)
    convolution = next((node for node in graph.node if source.output[0] in node.input), None)
    if source.op_type != "DequantizeLinear" or convolution is None or convolution.op_type != "Conv":
        return
    stored = next(node.input[0] for node in graph.node if convolution.input[1] in node.output)
    tensor = next(each for each in graph.initializer if each.name == stored)
    weight = numpy_helper.to_array(tensor)
    channels = weight.shape[1]
    filled = -channels % _CHANNEL_MULTIPLE
    if not filled:
        return
    padded = np.pad(weight, ((0, 0), (0, filled), (0, 0), (0, 0)))
    order = np.array([*range(channels), *[channels - 1] * filled], np.int64)
    tensor.CopyFrom(numpy_helper.from_array(padded, stored))
    graph.initializer.append(numpy_helper.from_array(order, "filled_up_channels"))
    pixels = source.input[0]
    source.input[0] = "filled_up_pixels"
    graph.node.insert(0, helper.make_node("Gather", [pixels, "filled_up_channels"], ["filled_up_pixels"], axis=1))
    # Recorded shapes of what has another one now; the runtimes find them again.
    stale = {value.name for value in graph.value_info} & {source.output[0], convolution.input[1]}
    for value in [value for value in graph.value_info if value.name in stale]:
        graph.value_info.remove(value)
