"""``edgevl split``: both halves of every cut answer as the whole, and the cheapest way is the one that is starred."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="edgevl split belongs to the workstation")

import onnx
import torch
from onnx import helper

from edgevl_cli.main import app
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.engine import CPU_ONLY, Engine, open_session
from edgevl_core.offload.halves import load_halves
from edgevl_train.quantise import export_fp32
from edgevl_train.split.cut import Cut, find_cuts, load_network
from edgevl_train.split.measure import Measured, best
from edgevl_train.student.network import build_student
from tests.cli.json_answers import answer_of
from tests.core.bundle.hostile import add_memory
from tests.core.offload.cut_student import BUNDLE
from tests.train.quantise.quantised import pixels_of, quantised_and_file

pytestmark = pytest.mark.train
SIZE_PX, DIM = 64, 32


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A residual student in int8 and in float."""
    folder = tmp_path_factory.mktemp("split")
    torch.manual_seed(0)
    student = build_student("resnet10t", DIM, backbone={"output_stride": 16})
    quantised_and_file(student, folder, SIZE_PX)
    export_fp32(student, folder / "fp32.onnx", SIZE_PX)
    return {name: folder / f"{name}.onnx" for name in ("int8", "fp32")}


@pytest.mark.parametrize("kind", ["int8", "fp32"])
def test_cuts_lie_between_blocks_and_send_the_fewest_bytes(kind: str, files: dict[str, Path]) -> None:
    cuts = find_cuts(load_network(files[kind]))
    # Three convolutions of the stem; a block of resnet10t has two, and one beside them from the second stage on.
    assert [cut.after for cut in cuts][:5] == [1, 2, 3, 5, 8]
    assert all(cut.of == cuts[-1].of for cut in cuts)


def test_both_halves_answer_as_the_whole(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cut"
    said = answer_of(capsys, "split", files["int8"], "--seconds", "0.1", "--at", "5", "--out", out, "--mbit", "1,1000")
    rows = {row["what"]: row for row in said["cuts"]}
    assert (rows["all there"]["bytes"], rows["all here"]["bytes"]) == (3 * SIZE_PX**2, 0)
    assert load_halves(out).manifest.after == 5
    row = next(row for row in said["cuts"] if row["cut"] and row["cut"]["after"] == 5)
    assert row["bytes"] == np.prod(row["shape"])  # integers, of one byte each
    assert set(said["best"]) == {"1 Mbit/s", "1000 Mbit/s"}
    pixels = pixels_of(1, seed=3, size_px=SIZE_PX).numpy()
    front, back = (open_session(out / f"{name}.onnx", 1, CPU_ONLY) for name in ("front", "back"))
    (tensor,) = front.run(None, {"pixels": pixels})
    assert tensor.dtype == np.uint8
    (answer,) = back.run(None, {back.get_inputs()[0].name: tensor})
    np.testing.assert_allclose(answer, Engine(files["int8"])(pixels), atol=1e-5)


def test_the_least_latency_is_chosen_by_bandwidth() -> None:
    there, cut, here = (
        Measured(None, (1,), 12_000, 0.0, 8.0),
        Measured(Cut("x", 2, 9), (1,), 2_000, 2.0, 6.0),
        Measured(None, (), 0, 8.0, 0.0),
    )
    ways = [there, cut, here]
    assert there.latency_ms(96.0, 4.0) == pytest.approx(1.0 + 2.0)
    assert [best(ways, mbit, 4.0) for mbit in (1.0, 5.0, 1000.0)] == [here, cut, there]


def test_wrong_input_is_one_line(files: dict[str, Path], tmp_path: Path) -> None:
    text, spaced, other = tmp_path / "no.onnx", tmp_path / "my student.onnx", tmp_path / "other.onnx"
    heavy = Path(shutil.copytree(BUNDLE, tmp_path / "heavy"))
    add_memory(heavy / "student.onnx")
    text.write_text("not one")
    shutil.copy(files["int8"], spaced)
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3, 8, 8]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Relu", ["in"], ["out"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), other)
    for words, reason in (
        ([files["int8"], "--mbit", "fast"], "--mbit 'fast': numbers above 0"),
        ([files["int8"], "--at", "3"], "give both, or neither"),
        (
            [files["int8"], "--seconds", "0.1", "--at", "99", "--out", tmp_path / "o"],
            "cuts are possible after the layers",
        ),
        ([files["int8"], "--mbit", "5,nan"], "--mbit '5,nan': numbers above 0"),
        ([text], "is no ONNX file"),
        ([other], "is not a student"),
        ([heavy], r"student\.onnx: its self-test ended with"),
        ([spaced, "--seconds", "0.1", "--at", "5", "--out", tmp_path / "o"], "accepted in a student's name"),
        ([files["int8"], "--compress", "4"], "are about one cut: give --at and --out"),
        ([files["int8"], "--at", "3", "--out", tmp_path / "o", "--judge", tmp_path], "pass a bundle or a run"),
        ([BUNDLE, "--at", "9", "--out", tmp_path / "o", "--judge", tmp_path / "b"], "there is no such bag"),
        (
            [BUNDLE, "--at", "9", "--out", tmp_path / "o", "--judge", resource("quick/lit"), "--rgb", "other"],
            "the bag has no topic 'other'",
        ),
    ):
        with pytest.raises(UserError, match=reason) as error:
            app(["split", *map(str, words)], standalone_mode=False)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "o").exists()
