"""``edgevl benchmark``: what a run returns, what is shown of it, what is chosen from it, what is refused."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from edgevl_cli.benchmark.accuracy import top1
from edgevl_cli.benchmark.files import DYNAMIC, FLOAT, STATIC, TRAINED, Model, bundle, student, teacher
from edgevl_cli.benchmark.graph import size_of
from edgevl_cli.benchmark.node_path import PARTS
from edgevl_cli.benchmark.operators import by_operator
from edgevl_cli.benchmark.picture import draw
from edgevl_cli.benchmark.run import ONNX_RUNTIME, OPENVINO, PYTORCH, run
from edgevl_cli.benchmark.students import choose, compare
from edgevl_cli.benchmark.table import show, show_operators
from edgevl_cli.console import to_json
from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine
from edgevl_core.pairlog.pairs import PairSettings
from edgevl_train.student.pixels import PixelNormalise
from edgevl_train.student.presets import Preset
from tests.cli.command import edgevl
from tests.core.bags import DEPTH_TOPIC, RGB_TOPIC
from tests.core.tiny import SIZE_PX, write_colour_bundle
from tests.train.evaluation.test_evaluate import write_rooms

# isort: split
import open_clip  # after edgevl_train, which lets it load

pytestmark = pytest.mark.unit

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A real student, small."""
    return student("resnet10t", tmp_path_factory.mktemp("files"), Preset(32, "linear"))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose student knows red, green and blue."""
    path = tmp_path_factory.mktemp("bundle") / "colours"
    write_colour_bundle(path)
    return path


@pytest.fixture(scope="module")
def numbers(model: Model) -> dict:
    """One run, with the student's files as a teacher's too."""
    files = {precision: model.files[precision] for precision in (FLOAT, TRAINED)}
    teacher = Model("peer", "teacher", files, model.preprocess)
    found = run([teacher, model], seconds=0.05, all_threads=True, node=model)
    students = compare(found["rows"])
    return found | {"accuracy": None, "students": students, "budget": {"ms": 1000.0, "student": students[0]["model"]}}


def without(library: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, of a Python that does not have ``library``."""
    program = f"import sys; sys.modules[{library!r}] = None; from edgevl_cli.main import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_a_row_for_every_file_in_the_same_run(numbers: dict) -> None:
    rows = {(row["model"], row["precision"]): row for row in numbers["rows"] if row["runtime"] == ONNX_RUNTIME}
    assert set(rows) == {
        *(("peer", precision) for precision in (FLOAT, TRAINED)),
        *(("resnet10t", precision) for precision in (FLOAT, STATIC, DYNAMIC, TRAINED)),
    }
    for row in rows.values():
        assert 0 < row["ms"]["q1"] <= row["ms"]["median"] <= row["ms"]["q3"]
        assert row["of_int8_peak"] > 0  # of a tiny network in a moment of load it may be anything
        assert row["size_px"] == 32
    int8 = rows["resnet10t", STATIC]
    assert set(int8["times_faster_than_teacher"]) == {"peer"}
    assert set(int8["times_faster_than_int8_teacher"]) == {"peer"}
    assert int8["bytes"] < rows["resnet10t", FLOAT]["bytes"] / 3
    assert rows["resnet10t", FLOAT]["times_faster_than_float"] is None
    assert int8["times_faster_than_float"]["q1"] > 0


def test_openvino_runs_the_same_file_or_is_said_to_be_missing(numbers: dict) -> None:
    rows = [row for row in numbers["rows"] if row["runtime"] == OPENVINO]
    said = any("OpenVINO" in line for line in numbers["left_out"])
    installed = find_spec("openvino") is not None
    assert ([(row["model"], row["precision"]) for row in rows], said) == (
        [("peer", TRAINED), ("resnet10t", TRAINED)] if installed else [],
        not installed,
    )
    for row in rows:  # a peer in the same engine
        assert set(row["times_faster_than_int8_teacher"]) == ({"peer"} if row["model"] != "peer" else set())


def test_a_teacher_is_quantised_as_its_bundle_would_be(tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1}
    config = tmp_path / "tiny-for-timing.json"
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    found = teacher("tiny-for-timing", tmp_path, int8=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    in_float, quantised = (Engine(found.files[precision])(pixels) for precision in (FLOAT, TRAINED))
    assert float((in_float * quantised).sum()) > 0.99
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(found.files[TRAINED]).graph.node}


def test_a_bundle_is_timed_by_its_own_files(colours: Path) -> None:
    found = run([bundle(colours)], seconds=0.01)
    rows = [row for row in found["rows"] if row["runtime"] == ONNX_RUNTIME]
    assert [(row["kind"], row["precision"], row["size_px"]) for row in rows] == [
        ("bundle", FLOAT, SIZE_PX),
        ("bundle", STATIC, SIZE_PX),
    ]
    assert [row["bytes"] for row in rows] == [
        (colours / name).stat().st_size for name in ("student_fp32.onnx", "student.onnx")
    ]


def test_accuracy_comes_from_true_rooms_only(colours: Path, tmp_path: Path) -> None:
    found = top1(colours, write_rooms(tmp_path / "rooms"))
    assert found[FLOAT]["rgb"] == found[STATIC]["rgb"] == 1.0
    with pytest.raises(UserError, match="true rooms"):
        top1(colours, write_rooms(tmp_path / "without", truth=False))


def test_topics_and_tolerance_decide_the_pairs_of_the_bag(colours: Path, tmp_path: Path) -> None:
    rooms = write_rooms(tmp_path / "rooms")
    assert top1(colours, rooms, PairSettings(RGB_TOPIC, DEPTH_TOPIC, 0.001)) == top1(colours, rooms)
    result = edgevl("benchmark", str(colours), "--bag", str(rooms), "--depth", "/nowhere")
    assert result.returncode == 2, result.stderr
    assert "/nowhere" in result.stderr.splitlines()[-1]


def test_the_run_says_where_and_under_which_load(numbers: dict) -> None:
    assert numbers["machine"]["cores"] >= 1
    assert "onnxruntime" in numbers["machine"]["versions"]
    assert set(numbers["load"]) == {"start", "end"}
    assert numbers["settings"]["rounds"] >= 7
    assert numbers["peak_int8_gmac_s"] > 1
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_a_tower_is_timed_in_pytorch_beside_its_file(model: Model) -> None:
    tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))
    network = torch.nn.Sequential(PixelNormalise(), tower)
    found = run([replace(model, kind="teacher", network=network)], seconds=0.05)
    (row,) = (row for row in found["rows"] if row["runtime"] == PYTORCH)
    assert (row["precision"], row["size_px"]) == (FLOAT, 32)
    assert row["times_faster_than_float"]["median"] > 1  # than the convolutions in the file


def test_a_profile_adds_up(model: Model) -> None:
    operators = by_operator(model.files[TRAINED])
    assert sum(entry["share"] for entry in operators) == pytest.approx(1)
    found = {entry["operator"]: entry["nodes"] for entry in operators}
    assert found["QLinearConv"] == 14
    assert operators[0]["ms"] == max(entry["ms"] for entry in operators)
    text = io.StringIO()
    show_operators("resnet10t", {TRAINED: operators}, Console(file=text, width=80))
    assert "QLinearConv" in text.getvalue()


def test_the_nodes_path_is_cut_into_its_parts(numbers: dict) -> None:
    node = numbers["node"]
    assert list(node["parts"]) == list(PARTS)
    medians = {part: ms["median"] for part, ms in node["parts"].items()}
    assert node["total_ms"] == pytest.approx(sum(medians.values()))
    assert node["not_inference"] == pytest.approx(1 - medians["inference"] / node["total_ms"])


def test_parameters_and_products_are_counted(tmp_path: Path) -> None:
    weights = {"kernel": np.ones((8, 2, 3, 3), np.float32), "matrix": np.ones((8, 5), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["map"], group=2, pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["row"]),
        helper.make_node("Gemm", ["row", "matrix"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / "model.onnx"))
    size = size_of(tmp_path / "model.onnx")
    assert size.parameters == 8 * 2 * 9 + 40
    assert size.gmacs == pytest.approx((3 * 3 * 8 * 2 * 9 + 40) / 1e9)


def test_a_student_of_known_size(model: Model) -> None:
    """resnet10t has 4.95 M parameters below its classifier, and a head of 512 x 512."""
    size = size_of(model.files[FLOAT])
    assert size.parameters == pytest.approx(4.92e6 + 512 * 513, rel=0.02)
    assert size.gmacs is not None


def test_files_are_made_once(model: Model) -> None:
    folder = model.files[FLOAT].parent
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert student("resnet10t", folder, Preset(32, "linear")) == model
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_figures_are_json_of_any_reader(numbers: dict) -> None:
    # The same helper writes them for every command.
    assert set(json.loads(to_json(numbers))) == set(numbers)


def test_table_and_picture_show_every_model(numbers: dict) -> None:
    text = io.StringIO()
    show(numbers, Console(file=text, width=200))
    for word in ("peer", "resnet10t", FLOAT, STATIC, DYNAMIC, "quartiles", "helps", "load", "inference"):
        assert word in text.getvalue(), word
    assert "largest student within 1000 ms here: resnet10t" in text.getvalue()
    assert draw(numbers).startswith(PNG)


def test_accuracy_is_a_panel_of_its_own(numbers: dict) -> None:
    top1 = {"rgb": 0.9, "depth": 0.8, "rgbd": 0.95}
    own = [row | {"kind": "bundle"} for row in numbers["rows"]]
    wide = draw(numbers | {"rows": own, "accuracy": {FLOAT: top1, STATIC: top1}})
    assert int.from_bytes(wide[16:20], "big") > 1.5 * int.from_bytes(draw(numbers)[16:20], "big")


def entry(model: str, parameters: float, float_ms: float, int8_ms: float) -> dict:
    return {"model": model, "parameters": parameters, "float_ms": float_ms, "int8_ms": int8_ms}


def test_the_budget_names_the_largest_that_is_fast_enough() -> None:
    students = [entry("small", 2e6, 2.0, 1.0), entry("odd", 4e6, 5.0, 6.0), entry("large", 9e6, 17.0, 5.1)]
    assert [choose(students, ms) and choose(students, ms)["model"] for ms in (0.5, 1.0, 5.0, 5.1)] == [
        None,
        "small",
        "odd",
        "large",
    ]


def row(precision: str, ms: float, q1: float | None) -> dict:
    gain = None if q1 is None else {"q1": q1, "median": q1 + 0.1, "q3": q1 + 0.2}
    known = {"model": "s", "kind": "student", "size_px": 32, "parameters": 1, "gmacs": 1.0, "bytes": 9}
    return known | {
        "runtime": ONNX_RUNTIME,
        "precision": precision,
        "ms": {"median": ms},
        "times_faster_than_float": gain,
    }


@pytest.mark.parametrize(("q1", "helps"), [(1.01, "yes"), (0.95, "unclear"), (0.7, "no")])
def test_int8_helps_where_most_rounds_say_so(q1: float, helps: str) -> None:
    (found,) = compare([row(FLOAT, 3.0, None), row(STATIC, 2.0, q1), row(DYNAMIC, 2.5, 1.2)])
    assert (found["best_int8"], found["int8_helps"]) == (STATIC, helps)


def test_a_student_that_int8_slows_down_is_said_to_be_slower() -> None:
    """By the file that the robot runs, even where another int8 file, most of it float, is no slower."""
    rows = [row(FLOAT, 45.0, None), row(DYNAMIC, 44.9, 1.0), row(TRAINED, 55.0, 0.75)]
    (found,) = compare(rows)
    assert (found["int8_ms"], found["best_int8"], found["int8_helps"]) == (55.0, DYNAMIC, "no")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{folder}",), "not a student bundle"),
        (("--budget-ms", "0"), "--budget-ms 0"),
        (("--seconds", "-1"), "--seconds -1"),
        (("--plot", "out.pdf"), ".png"),
        (("--bag", "drive"), "BUNDLE"),
        (("--depth", "/depth"), "name the --bag"),
        (("--max-skew-s", "0"), "--max-skew-s 0"),
        (("--profile", "abacus"), "mobilenetv4_conv_small"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments: tuple, said: str, tmp_path: Path) -> None:
    result = edgevl("benchmark", *(text.format(folder=tmp_path) for text in arguments))
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_the_training_extra_it_says_so_in_one_line() -> None:
    result = without("timm", "benchmark")
    assert result.returncode == 2, result.stderr
    assert "pip install '.[train]' in edgevl's source tree" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
