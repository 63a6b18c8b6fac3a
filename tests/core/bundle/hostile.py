"""How a bundle must be refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle


def refusal(bundle: Path) -> str:
    """The message of a bundle that must be refused: one line, short, no control characters."""
    with pytest.raises(UserError) as caught:
        load_bundle(bundle)
    return one_plain_line(str(caught.value))


def one_plain_line(message: str) -> str:
    assert message.isprintable()
    assert len(message) <= 500
    return message


def change_array(bundle: Path, file: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(bundle / file) as arrays:
        content = {key: arrays[key] for key in arrays.files}
    content[name] = change(content[name])
    np.savez(bundle / file, **content)


def add_memory(file: Path, some: str = "", into: str = "", side: int = 20_000) -> None:
    """Make a network fill a square of ``side`` x ``side`` floats on the way (1.6 GB), which changes nothing.

    Args:
        some, into: tensors, one that depends on the input and one that the last node takes; "": its output's source.
    """
    model = onnx.load(str(file))
    graph = model.graph
    values = {"heavy_sides": np.array([side, side]), "heavy_nought": np.float32(0), "heavy_axes": np.array([0, 1])}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())
    last = graph.node[-1]
    some, into = some or last.input[0], into or last.input[0]
    nodes = [
        helper.make_node("ReduceMax", [some], ["heavy_some"], keepdims=0),
        helper.make_node("Expand", ["heavy_some", "heavy_sides"], ["heavy_square"]),
        helper.make_node("Neg", ["heavy_square"], ["heavy_other"]),
        helper.make_node("ReduceSum", ["heavy_other", "heavy_axes"], ["heavy_total"], keepdims=0),
        helper.make_node("Mul", ["heavy_total", "heavy_nought"], ["heavy_zero"]),
        helper.make_node("Add", [into, "heavy_zero"], ["heavy_out"]),
    ]
    last.input[0] = "heavy_out"
    for node in nodes:
        graph.node.insert(len(graph.node) - 1, node)
    onnx.save(model, str(file))


def model_of(bundle: Path, name: str = "student.onnx") -> onnx.ModelProto:
    return onnx.load(str(bundle / name))
