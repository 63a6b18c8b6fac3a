"""Small changes to an exported graph that make the runtimes choose their fast kernels; what it computes stays."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_COLOURS = 3  # ONNX Runtime's fast integer convolution takes whole words of four bytes
_INT4 = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.INT4)
_OFFSET = 128  # of u8 to s8
_LARGE_KERNEL = 5  # a smaller one gains nothing from blocks


def polish(model: onnx.ModelProto) -> None:
    """Change a student's graph, float or QDQ, in place."""
    graph = model.graph
    _average_globally(graph)
    _own_zero_points(graph)
    _suit_first_convolution(graph)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def store_in_four_bits(model: onnx.ModelProto) -> None:
    """Change the type of a QDQ graph's weights and their zero points from int8 to INT4, in place; for opset 21.

    Their values have to lie in -8 to 7.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    weights = {
        node.input[0]: node.input[2]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and _is_int8(constants.get(node.input[0]))
    }
    for name in (*weights, *weights.values()):
        values = numpy_helper.to_array(constants[name]).astype(_INT4)
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
    for value in [value for value in graph.value_info if value.name in weights]:
        graph.value_info.remove(value)  # recorded as int8


def by_tensorrts_rules(model: onnx.ModelProto) -> None:
    """Change a QDQ graph to s8 throughout, with zero points of 0 and float biases, in place; before :func:`polish`.

    Its activations and pixels have to be u8 with zero points of 128, its biases int32. The pixels, less 128, become s8
    inside the graph.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pixels = graph.input[0].name
    quantising = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    source = next(node for node in quantising if node.input[0] == pixels)
    changed = set()
    for node in quantising:
        stored = constants.get(node.input[0])
        if stored is not None and stored.data_type == onnx.TensorProto.INT32:
            integers, scale = numpy_helper.to_array(stored), numpy_helper.to_array(constants[node.input[1]])
            graph.initializer.append(numpy_helper.from_array((integers * scale).astype(np.float32), node.output[0]))
            graph.node.remove(node)
        elif stored is None:
            zero = np.zeros(tuple(constants[node.input[2]].dims), np.int8)
            constants[node.input[2]].CopyFrom(numpy_helper.from_array(zero, node.input[2]))
        changed |= {node.output[0]} if node.op_type == "QuantizeLinear" else {node.input[0], node.input[-1]}
    _, scale, zero_point = source.input
    offset = numpy_helper.from_array(np.array(_OFFSET, np.float32), "pixel_offset")
    graph.initializer.append(offset)
    nodes = [
        helper.make_node("Cast", [pixels], ["float_pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["float_pixels", offset.name], ["centred_pixels"]),
        helper.make_node("Mul", ["centred_pixels", scale], ["scaled_pixels"]),
        helper.make_node("QuantizeLinear", ["scaled_pixels", scale, zero_point], ["s8_pixels"]),
    ]
    source.input[0] = "s8_pixels"
    for node in reversed(nodes):
        graph.node.insert(0, node)
    for value in [value for value in graph.value_info if value.name in changed]:
        graph.value_info.remove(value)  # recorded as u8


def _is_int8(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and tensor.data_type == onnx.TensorProto.INT8


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


def _suit_first_convolution(graph: onnx.GraphProto) -> None:
    """Three channels are too few for the fast integer convolution: more of them, the same result.

    A large kernel of stride 2 (ResNet's 7 x 7) reads blocks of 2 x 2 pixels as 12 channels at half the side and stride
    1; any other kernel a fourth channel, blue once more, with weights of 0.
    """
    pixels = graph.input[0]
    source = next(node for node in graph.node if pixels.name in node.input)
    convolution = next((node for node in graph.node if source.output[0] in node.input), None)
    if source.op_type != "DequantizeLinear" or convolution is None or convolution.op_type != "Conv":
        return
    stored = next((node.input[0] for node in graph.node if convolution.input[1] in node.output), None)
    tensor = next((each for each in graph.initializer if each.name == stored), None)
    if stored is None or tensor is None:
        return  # a convolution that stays float: its weights are not stored as integers
    weight = numpy_helper.to_array(tensor)
    if weight.shape[1] != _COLOURS:
        return
    side_px, kernel = pixels.type.tensor_type.shape.dim[2].dim_value, weight.shape[2]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in convolution.attribute}
    padding = kernel // 2
    plain = attributes.get("strides") == [2, 2] and attributes.get("pads") == [padding] * 4
    if plain and kernel >= _LARGE_KERNEL and kernel == weight.shape[3] and kernel % 2 and side_px % 2 == 0:
        nodes, constants, weight, attributes = _blocks(pixels.name, weight, side_px)
        del convolution.attribute[:]
        convolution.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
    else:
        nodes = [helper.make_node("Gather", [pixels.name, "suited_order"], ["suited_pixels"], axis=1)]
        constants = {"suited_order": np.array([*range(_COLOURS), _COLOURS - 1], np.int64)}
        weight = np.pad(weight, ((0, 0), (0, 1), (0, 0), (0, 0)))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weight), stored))
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    source.input[0] = "suited_pixels"
    for node in reversed(nodes):
        graph.node.insert(0, node)
    # Recorded shapes of what has another one now; the runtimes find them again.
    stale = {source.output[0], convolution.input[1]}
    for value in [value for value in graph.value_info if value.name in stale]:
        graph.value_info.remove(value)


def _blocks(
    pixels: str, weight: NDArray[np.int8], side_px: int
) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.int64]], NDArray[np.int8], dict[str, Any]]:
    """Nodes that make (N, 12, S / 2, S / 2) of the pixels, their constants, the kernel for it, Conv's attributes."""
    outputs, colours, kernel, _ = weight.shape
    lead = (kernel // 2) % 2  # so that the kernel begins where a block does
    blocks = (kernel + lead + 1) // 2
    around = (lead, 2 * blocks - kernel - lead)
    weight = np.pad(weight, ((0, 0), (0, 0), around, around)).reshape(outputs, colours, blocks, 2, blocks, 2)
    weight = weight.transpose(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * colours, blocks, blocks)
    half, before = side_px // 2, (kernel // 2 + lead) // 2
    after = blocks - 1 - before
    # Two small changes of the order: one of all six axes takes twice as long.
    nodes = [
        helper.make_node("Reshape", [pixels, "suited_columns"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["turned_columns"], perm=[0, 1, 3, 2]),
        helper.make_node("Reshape", ["turned_columns", "suited_rows"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["turned_rows"], perm=[0, 3, 1, 2, 4]),
        helper.make_node("Reshape", ["turned_rows", "suited_channels"], ["suited_pixels"]),
    ]
    constants = {
        "suited_columns": np.array([0, colours * side_px, half, 2], np.int64),
        "suited_rows": np.array([0, colours, half, 4, half], np.int64),
        "suited_channels": np.array([0, 4 * colours, half, half], np.int64),
    }
    shape = {"kernel_shape": [blocks, blocks], "strides": [1, 1], "pads": [before, before, after, after]}
    return nodes, constants, weight, shape | {"dilations": [1, 1], "group": 1}
