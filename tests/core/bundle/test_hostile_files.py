"""Files of a bundle that would take memory, time or the machine are refused before a library sees them."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevl_core.base.errors import UserError
from edgevl_core.engine import inspect_onnx
from tests.core.bundle.hostile import change_array, model_of, refusal
from tests.core.tiny import (
    SIZE_PX,
    reseal,
    write_colour_bundle,
)

pytestmark = pytest.mark.unit


def _peak_bytes(what: Callable[[], object]) -> int:
    """Most memory that numpy and Python held at once."""
    import tracemalloc

    tracemalloc.start()
    try:
        what()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_not_unpacked(bundle: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=np.zeros((400, 3, 256, 256), np.uint8))  # 79 MB in some 80 kB
    for file in ("golden.npz", "label_bank.npz"):
        (bundle / file).write_bytes(buffer.getvalue())
    reseal(bundle)
    assert _peak_bytes(lambda: refusal(bundle)) < 8 << 20


def test_a_header_that_promises_more_than_there_is_allocates_nothing(bundle: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**31, 3, 2**20, 2**20)}
    )
    with zipfile.ZipFile(bundle / "golden.npz", "w") as archive:
        for name in ("pixels", "student", "student_fp32"):
            archive.writestr(f"{name}.npy", header.getvalue())
    reseal(bundle)
    assert _peak_bytes(lambda: refusal(bundle)) < 8 << 20


def test_many_golden_inputs_are_refused(bundle: Path, tmp_path: Path) -> None:
    change_array(bundle, "golden.npz", "pixels", lambda pixels: np.tile(pixels, (20_000, 1, 1, 1)))
    reseal(bundle)
    assert _peak_bytes(lambda: refusal(bundle)) < 8 << 20
    with pytest.raises(UserError, match="1 to 64"):
        write_colour_bundle(tmp_path / "new", golden_pixels=np.zeros((65, 3, SIZE_PX, SIZE_PX), np.uint8))


@pytest.mark.parametrize("name", ["manifest.json", "student.onnx", "label_bank.npz", "golden.npz"])
def test_files_of_any_size_are_not_read(bundle: Path, name: str) -> None:
    with (bundle / name).open("r+b") as file:
        file.truncate(3 << 30)  # a hole, no disk is used
    message = refusal(bundle)
    assert name in message
    assert "at most" in message


# -- networks ------------------------------------------------------------------------------------------------


def _loop() -> onnx.NodeProto:
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [count, condition],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    return helper.make_node("Loop", ["rounds", ""], [], body=body)


def with_loop(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(10**9), "rounds"))
    model.graph.node.insert(0, _loop())


def with_foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("Gelu", ["row"], ["unused"], domain="com.microsoft"))


def with_external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)


def with_external_attribute(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.float32([1, 1, 1]), "value")
    value.external_data.add(key="location", value="weights.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=value))


def with_function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("", "Mul", ["a", "b"], ["c"], [helper.make_node("Sub", ["a", "b"], ["c"])], [])
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_loop, "'Loop'|a graph within a node"),
        (with_foreign_operator, r"com\.microsoft\.Gelu"),
        (with_external_data, "data in another file"),
        (with_external_attribute, "data in another file"),
        (with_function, "functions of its own"),
    ],
)
@pytest.mark.parametrize("name", ["student.onnx", "student_fp32.onnx"])
def test_what_no_student_needs_is_refused_before_a_runtime_sees_it(
    bundle: Path, name: str, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:

    model = model_of(bundle, name)
    change(model)
    (bundle / name).write_bytes(model.SerializeToString())
    (bundle / "weights.bin").write_bytes(np.float32([1, 1, 1]).tobytes())
    reseal(bundle)
    message = refusal(bundle)
    assert re.search(reason, message)
    assert name in message


# -- what protobuf reads otherwise than it stands there: each is in the file for a real parser ------------------


def _varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + _varint(number >> 7)


def _sent(number: int, content: bytes, *, high: int = 0) -> bytes:
    """A message as a field; ``high``: bits above the 32 that protobuf keeps of field number and wire type."""
    return _varint(high << 32 | number << 3 | 2) + _varint(len(content)) + content


RANDOM = helper.make_node("RandomNormalLike", ["row"], ["random"]).SerializeToString()
FIXED_32, GROUP, GROUP_END = 5, 3, 4


def _with_tensor(last: bytes) -> bytes:
    """A model's bytes: one tensor more, with these as its last fields."""
    return _sent(7, _sent(5, numpy_helper.from_array(np.float32([1]), "more").SerializeToString() + last))


@pytest.mark.parametrize(
    ("more", "really", "reason"),
    [
        # The later graph is merged into the first, so its nodes count.
        (_sent(7, _sent(1, RANDOM)), lambda g: g.node[-1].op_type == "RandomNormalLike", "RandomNormalLike"),
        # A text of fixed size is no text, what was given before stays.
        (
            _sent(7, _sent(1, RANDOM + _varint(4 << 3 | FIXED_32) + b"Relu")),
            lambda g: g.node[-1].op_type == "RandomNormalLike",
            "a number where a message should be",
        ),
        (
            _sent(7, _varint(100 << 3 | GROUP) + _varint(100 << 3 | GROUP_END) + _sent(1, RANDOM)),
            lambda g: g.node[-1].op_type == "RandomNormalLike",
            "unknown wire type 3",
        ),
        # Of an enum the lower 32 bits count.
        (
            _with_tensor(_varint(14 << 3) + _varint(1 << 32 | TensorProto.EXTERNAL)),
            lambda g: g.initializer[-1].data_location == TensorProto.EXTERNAL,
            "data in another file",
        ),
        (
            _with_tensor(_varint(2 << 3) + _varint(1 << 32 | TensorProto.STRING)),
            lambda g: g.initializer[-1].data_type == TensorProto.STRING,
            "text as a tensor",
        ),
        (
            _with_tensor(_varint(2 << 3) + _varint(1 << 63 | 1 << 32 | TensorProto.STRING)),
            lambda g: g.initializer[-1].data_type == TensorProto.STRING,
            "text as a tensor",
        ),
    ],
    ids=["graph in two", "text of fixed size", "group", "33 bits, external", "33 bits, text", "64 bits, text"],
)
def test_what_is_written_so_that_only_protobuf_finds_it_is_refused(
    bundle: Path, more: bytes, really: Callable[[onnx.GraphProto], bool], reason: str
) -> None:
    file = bundle / "student.onnx"
    inspect_onnx(file)
    file.write_bytes(file.read_bytes() + more)
    assert really(onnx.load(str(file), load_external_data=False).graph)
    with pytest.raises(UserError, match=reason):
        inspect_onnx(file)


@pytest.mark.parametrize("high", [0, 1, 7])
def test_a_node_whose_field_number_is_too_long_is_refused_and_onnx_runtime_runs_it(tmp_path: Path, high: int) -> None:
    """The `onnx` package refuses such a number; protobuf's C++, which ONNX Runtime has, keeps its lower 32 bits."""
    sides = [1, 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["same"])],
        "hiding",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("random", TensorProto.FLOAT, sides)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    file = tmp_path / "hiding.onnx"
    file.write_bytes(model + _sent(7, _sent(1, RANDOM, high=high)))
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert np.ptp(session.run(None, {"row": np.zeros(sides, np.float32)})[0]) > 0
    with pytest.raises(UserError, match="field number" if high else "RandomNormalLike"):
        inspect_onnx(file)


@pytest.mark.parametrize("more", [_varint(0) + _varint(1), _varint(2) + _varint(0)], ids=["number", "bytes"])
def test_a_field_of_number_nought_is_refused(bundle: Path, more: bytes) -> None:
    file = bundle / "student.onnx"
    file.write_bytes(file.read_bytes() + more)
    with pytest.raises(UserError, match="field number 0"):
        inspect_onnx(file)


def test_what_puts_columns_back_into_an_image_is_no_foreign_operator(bundle: Path) -> None:
    """ONNX's Col2Im, of timm's volo: its output's shape is in the file, and it computes nothing but sums."""
    model = model_of(bundle, "student.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1]), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1), np.float32), "columns"))
    model.graph.node.append(helper.make_node("Col2Im", ["columns", "one", "one"], ["unused"]))
    (bundle / "columns.onnx").write_bytes(model.SerializeToString())
    assert inspect_onnx(bundle / "columns.onnx").operators["Col2Im"] == 1
