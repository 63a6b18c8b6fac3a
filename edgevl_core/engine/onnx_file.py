"""What an ONNX file holds, read from its bytes before any runtime sees it.

A runtime builds whatever the file says: loops without end, parts of other files, code of plug-ins. A student needs none
of that, so a file that has it is refused. Only the fields that decide this are read, by protobuf's wire format: the
library `onnx` is not on the robot.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgevl_core.base.errors import UserError

QUANTISED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"})
# Of ONNX's own domain, what computes tensors of a shape that the input's shape decides, always in the same way: no
# control flow, no random numbers, no sequences, no text, no shapes that the pixels decide.
_PURE = """
    Abs Add And ArgMax ArgMin Attention AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Concat Constant ConstantOfShape Conv ConvTranspose Cos
    Cosh CumSum DeformConv DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten
    Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool LRN MatMul MatMulInteger Max
    MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow RMSNormalization Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign
    Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu
    Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = QUANTISED | frozenset(_PURE.split())
DOMAINS = ("", "ai.onnx")
MAX_FIELDS = 2_000_000  # a network has some ten thousand; more only cost time
_EXTERNAL, _TEXT = 1, 8  # TensorProto.DataLocation.EXTERNAL, TensorProto.DataType.STRING
_MAX_NUMBER = (1 << 29) - 1  # of a field. Of a longer one protobuf keeps the lower bits: it would be another field
_ENUM_BITS = 0xFFFFFFFF  # what protobuf keeps of an enum, or of a number of 32 bits


@dataclass
class OnnxFile:
    """``operators``: how many nodes of each kind."""

    operators: Counter[str] = field(default_factory=Counter)

    @property
    def quantised(self) -> bool:
        """Whether activations are quantised."""
        return bool(QUANTISED & set(self.operators))


def inspect_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file without running it.

    Raises:
        UserError: it is no ONNX file; it keeps data outside itself; it has an operator that no student needs (see
            OPERATORS), functions, sub-graphs or training steps of its own.
    """
    try:
        with path.open("rb") as stream:
            # Mapped, not read: weights are not looked at. It goes with the last view of it.
            return _Reader(path).model(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be loaded by ONNX Runtime: it is no ONNX file ({error}); copy or make it again"
        ) from error


class _Reader:
    """One walk through a file; field numbers are those of onnx.proto."""

    def __init__(self, path: Path) -> None:
        self._path, self._fields_left = path, MAX_FIELDS
        self._found = OnnxFile()

    def model(self, whole: memoryview) -> OnnxFile:
        graphs = 0
        for number, value in self._fields(whole):
            if number == 7:
                graphs += 1
                self._graph(_message(value))
            elif number in (20, 25):
                raise self._refusal("training steps" if number == 20 else "functions of its own")
        if not graphs:
            raise ValueError("no graph in it")
        return self._found

    def _graph(self, graph: memoryview) -> None:
        for number, value in self._fields(graph):
            if number == 1:
                self._node(_message(value))
            elif number == 5:
                self._tensor(_message(value))
            elif number == 15:
                raise self._refusal("sparse tensors")

    def _node(self, node: memoryview) -> None:
        operator, domain = "", ""
        for number, value in self._fields(node):
            if number == 4:
                operator = _text(value)
            elif number == 7:
                domain = _text(value)
            elif number == 5:
                self._attribute(_message(value))
        if domain not in DOMAINS or operator not in OPERATORS:
            raise self._refusal(f"the operator {f'{domain}.{operator}'.lstrip('.')[:60]!r}")
        self._found.operators[operator] += 1

    def _attribute(self, attribute: memoryview) -> None:
        for number, value in self._fields(attribute):
            if number in (5, 10):
                self._tensor(_message(value))
            elif number in (6, 11):
                raise self._refusal("a graph within a node")
            elif number in (22, 23):
                raise self._refusal("sparse tensors")

    def _tensor(self, tensor: memoryview) -> None:
        for number, value in self._fields(tensor):
            if number == 13 or (number == 14 and value == _EXTERNAL):
                raise self._refusal("data in another file")
            if number == 2 and value == _TEXT:
                raise self._refusal("text as a tensor")

    def _refusal(self, what: str) -> UserError:
        return UserError(f"{self._path} holds {what}, which no student needs: it is refused; make the bundle again")

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Field number and value: a number, or the bytes of text, message or packed numbers.

        What is read here must be what protobuf reads, or the file is refused. Numbers of fixed size come as 0: none
        is looked at, and where text or a message should be protobuf passes them over.
        """
        position, end = 0, len(data)
        while position < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise self._refusal(f"more than {MAX_FIELDS} fields")
            key, position = _varint(data, position)
            number, wire = key >> 3, key & 7
            if not 1 <= number <= _MAX_NUMBER:
                raise ValueError(f"field number {number}, 1 to {_MAX_NUMBER} are accepted")
            if wire == 0:
                value, position = _varint(data, position)
                yield number, value & _ENUM_BITS
                continue
            if wire == 2:
                length, position = _varint(data, position)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise ValueError(f"unknown wire type {wire}")
            if position + length > end:
                raise ValueError("it ends too early")
            yield number, data[position : position + length] if wire == 2 else 0
            position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends too early")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than 64 bits")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)[:200]).decode("utf-8", "replace")
