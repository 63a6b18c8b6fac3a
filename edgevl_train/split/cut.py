"""Where an exported network can be cut, and the two files that a cut makes.

A cut is a tensor that everything passes: what comes after it needs nothing from before. In a residual network that is
the end of each block. Of tensors that hold the same values, the smallest is taken: the integers of an int8 file.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import shape_inference
from onnx.utils import Extractor

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.engine import INPUT_NAME, OUTPUT_NAME

_WORK = {"Conv", "Gemm", "MatMul"}


@dataclass(frozen=True)
class Cut:
    """``tensor``: its name in the file; ``after``: convolutions and matrix products before it, of ``of`` in all."""

    tensor: str
    after: int
    of: int


def load_network(path: Path) -> onnx.ModelProto:
    """A student's file for one image at a time, with the shapes of its tensors.

    Raises:
        UserError: it is no ONNX file.
    """
    try:
        model = onnx.load(str(path))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        # What follows from the number of images is a constant now; it would connect pixels and embedding past any cut.
        return shape_inference.infer_shapes(_folded(model))
    except Exception as error:  # protobuf's, onnx's and ONNX Runtime's own kinds
        reason = one_line(str(error), 160)
        raise UserError(f"{path} cannot be read ({reason}): an ONNX student is needed") from error


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.value_info[:]  # shapes of any number of images
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as directory:
        options.optimized_model_filepath = str(Path(directory) / "folded.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def find_cuts(model: onnx.ModelProto) -> list[Cut]:
    """The cuts of a network in its order, one for each place between two pieces of work.

    Raises:
        UserError: there is none.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    last_use = {name: at for at, node in enumerate(graph.node) for name in node.input if name not in constants}
    last_use |= {output.name: len(graph.node) for output in graph.output}
    total = sum(node.op_type in _WORK for node in graph.node)
    alive = {port.name for port in graph.input}
    worked, found = 0, {}
    at_work: dict[int, list[tuple[str, str]]] = {}
    for at, node in enumerate(graph.node):
        if all(name in constants for name in node.input):
            constants.update(node.output)  # dequantised weights
        else:
            alive |= {name for name in node.output if last_use.get(name, -1) > at}
        alive = {name for name in alive if last_use.get(name, -1) > at and name not in constants}
        worked += node.op_type in _WORK
        if len(alive) == 1 and worked > 0 and not alive & {INPUT_NAME, OUTPUT_NAME}:
            (tensor,) = alive
            at_work.setdefault(worked, []).append((node.op_type, tensor))
    for count, places in at_work.items():
        # Late, where pooling has made it small.
        found[count] = next((name for kind, name in reversed(places) if kind == "QuantizeLinear"), places[-1][1])
    if not found:
        raise UserError("the network has no place that everything passes: it cannot be cut in two")
    return [Cut(tensor, count, total) for count, tensor in found.items()]


def cut_in_two(model: onnx.ModelProto, cut: Cut, directory: Path) -> tuple[Path, Path]:
    """Write ``front.onnx`` (pixels -> the cut's tensor) and ``back.onnx`` (that tensor -> embedding)."""
    directory.mkdir(parents=True, exist_ok=True)
    extractor = Extractor(model)
    parts = {"front": ([INPUT_NAME], [cut.tensor]), "back": ([cut.tensor], [OUTPUT_NAME])}
    files = {}
    for name, (inputs, outputs) in parts.items():
        files[name] = directory / f"{name}.onnx"
        onnx.save(extractor.extract_model(inputs, outputs), str(files[name]))
    return files["front"], files["back"]
