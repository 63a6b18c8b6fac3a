"""A torch network as an ONNX model.

torch's exporter takes seconds for a network, nearly all of them for its structure and none for its weights. A run
exports several that differ by their weights alone: what it tries before it trains, and what came of the training. So
what the exporter made of a structure is kept, and the next network of that structure has its weights put in.
"""

import hashlib
import io
import pickle
from collections.abc import Iterable
from typing import Any

import onnx
import onnx_ir
import torch
from torch import Tensor, nn

OPSET = 18
_MOST_KEPT = 16

_kept: dict[str, tuple[torch.onnx.ONNXProgram, onnx.ModelProto]] = {}


def to_onnx(
    network: nn.Module,
    example: Tensor,
    input_name: str,
    output_name: str,
    count: torch.export.Dim | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """A network of one input and one output, in eval mode, as torch's exporter writes it.

    Args:
        count: what the first axis may be; None: as long as that of ``example``.
    """
    wanted = (tuple(example.shape), example.dtype, input_name, output_name, count, opset)
    key = _structure(network.eval(), repr(wanted))
    state = network.state_dict()
    if key not in _kept:
        made = _exported(network, example, input_name, output_name, count, opset)
        if key is None or not state.keys() <= {tensor.name for tensor in made[1].graph.initializer}:
            return _optimised(*made, {})
        while len(_kept) >= _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _without_weights(*made, state)
    return _optimised(*_kept[key], state)


def _exported(
    network: nn.Module, example: Tensor, input_name: str, output_name: str, count: torch.export.Dim | None, opset: int
) -> tuple[torch.onnx.ONNXProgram, onnx.ModelProto]:
    """The exporter's program, and its model as it is before constants are folded: each tensor by its own name."""
    with torch.no_grad():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=opset,
            external_data=False,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_shapes=None if count is None else ({0: count},),
            optimize=False,
            verbose=False,
        )
    if program is None:  # as its type has it; only the exporter without dynamo does that
        raise RuntimeError("torch.onnx.export has made no program")
    return program, program.model_proto


def _without_weights(
    program: torch.onnx.ONNXProgram, model: onnx.ModelProto, names: Iterable[str]
) -> tuple[torch.onnx.ONNXProgram, onnx.ModelProto]:
    known = set(names)
    for tensor in model.graph.initializer:
        if tensor.name in known:
            tensor.ClearField("raw_data")
    program.exported_program = None
    return program, model


def _optimised(program: torch.onnx.ONNXProgram, model: onnx.ModelProto, state: dict[str, Tensor]) -> onnx.ModelProto:
    """The model with these weights, constants folded."""
    program.model = onnx_ir.from_proto(model)
    program.apply_weights(state)
    program.optimize()
    finished = program.model_proto
    program.model = onnx_ir.from_proto(model)  # or the weights would be kept
    _forget_origin(finished)
    return finished


def _structure(network: nn.Module, wanted: str) -> str | None:
    """Hex digest of all that a network is but the values of its parameters and buffers; None where it has no pickle."""
    stream = io.BytesIO()
    try:
        _StructurePickler(stream, network.state_dict(keep_vars=True).values()).dump((network, wanted))
    except Exception:  # of whatever kind: a backbone is foreign code
        return None
    return hashlib.sha256(stream.getvalue()).hexdigest()


class _StructurePickler(pickle.Pickler):
    """Writes of a tensor of the network's state its form alone, of any other one, which is a constant, its values."""

    def __init__(self, stream: io.BytesIO, state: Iterable[Tensor]) -> None:
        super().__init__(stream)
        self._state = {id(tensor) for tensor in state}
        self._number: dict[int, int] = {}  # one tensor in two places is another structure than two that are alike

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        if not isinstance(value, Tensor):
            return None
        number = self._number.setdefault(id(value), len(self._number))
        constant = b"" if id(value) in self._state else value.detach().cpu().contiguous().numpy().tobytes()
        return number, tuple(value.shape), value.stride(), str(value.dtype), constant


def _forget_origin(model: onnx.ModelProto) -> None:
    """Leave out what the exporter notes of where each node came from.

    It names the files of the machine that trained, which is nobody's business on the robot; and with it the same
    student would have another hash when it is exported from another directory.
    """
    graph = model.graph
    noted = (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for item in noted:
        del item.metadata_props[:]
        item.doc_string = ""
