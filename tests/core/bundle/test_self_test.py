"""A bundle is tried in a process of its own: what takes too much ends there, and nowhere else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.self_test import LIMITS, open_untrusted, try_bundle
from edgevl_core.bundle.student_bundle import STUDENT_FP32, STUDENT_INT8
from edgevl_core.bundle.text_encoder import TEXT_ENCODER_FILE
from edgevl_core.classify.model import load_model
from edgevl_core.classify.smoothing import Smoother
from edgevl_core.room_map.words import open_dictionary
from tests.core.bundle.hostile import add_memory
from tests.core.tiny import colour_image, reseal, write_colour_bundle, write_student
from tests.core.tiny_text import write_speaking_bundle, write_text_encoder
from tests.paths import ROOT

pytestmark = pytest.mark.unit


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_colour_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def add_work(file: Path, *, side: int, products: int, some: str = "mean", into: str = "row") -> None:
    """Make a network multiply matrices of ``side`` x ``side`` floats, made on the way, that change nothing."""
    model = onnx.load(str(file))
    graph = model.graph
    constants = {"sides": np.array([side, side]), "nought": np.float32(0), "all": np.array([0, 1])}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    # By the pixels, so that no optimiser does it once and for all.
    nodes = [
        helper.make_node("ReduceMean", [some], ["some"], keepdims=0),
        helper.make_node("Expand", ["some", "sides"], ["product0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"product{k}", "product0"], [f"product{k + 1}"]) for k in range(products)]
    nodes += [
        helper.make_node("ReduceSum", [f"product{products}", "all"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "nought"], ["zero"]),
        helper.make_node("Add", [into, "zero"], ["worked"]),
    ]
    graph.node[-1].input[0] = "worked"
    for node in nodes:
        graph.node.insert(len(graph.node) - 1, node)
    onnx.save(model, str(file))


def test_a_whole_bundle_passes_wherever_it_is_asked_from(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the directory was loaded')")
    monkeypatch.chdir(tmp_path)
    try_bundle(Path("bundle"))


def test_what_was_loaded_through_a_link_is_named_by_where_it_lies(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "current").symlink_to("bundle")
    monkeypatch.chdir(tmp_path)
    assert load_model(Path("current"), None, {}, Smoother(0.0)).bundle.path == bundle


def test_words_are_those_asked_for_or_all_or_the_bundle_s_own(tmp_path: Path) -> None:
    write_colour_bundle(tmp_path / "two", labels=["blue", "red"])
    asked = {None: ("blue", "red"), ("green",): ("green",), (): ("red", "green", "blue")}
    for labels, words in asked.items():
        assert load_model(tmp_path / "two", labels, {}, Smoother(0.0)).classifier.labels == words


def test_what_came_well_out_of_it_is_not_tried_again_and_what_changed_is(bundle: Path, monkeypatch) -> None:
    open_untrusted(bundle)
    monkeypatch.setattr(sys, "executable", str(bundle / "no python"))  # a child could not be started
    open_untrusted(bundle)
    (bundle / STUDENT_INT8).write_bytes(b"another one")
    with pytest.raises(UserError, match="the manifest says"):
        open_untrusted(bundle)
    reseal(bundle)
    with pytest.raises(FileNotFoundError, match="no python"):
        open_untrusted(bundle)


def test_a_refusal_comes_back_in_its_own_words(bundle: Path) -> None:
    (bundle / STUDENT_FP32).write_bytes(b"other")
    with pytest.raises(UserError, match=rf"{STUDENT_FP32} has SHA-256"):
        try_bundle(bundle)


def test_a_network_that_computes_for_ever_is_ended(bundle: Path) -> None:
    add_work(bundle / STUDENT_INT8, side=1024, products=20_000)
    reseal(bundle)
    start_s = time.monotonic()
    with pytest.raises(UserError, match=r"self-test took more than 3 s of processor time") as caught:
        try_bundle(bundle, limits=LIMITS._replace(processor_s=3))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start_s < LIMITS.wall_s


def test_a_network_that_takes_all_memory_is_refused(bundle: Path) -> None:
    add_work(bundle / STUDENT_INT8, side=20_000, products=0)  # 1.6 GB
    reseal(bundle)
    with (bundle / TEXT_ENCODER_FILE).open("wb") as file:  # which the manifest does not list: it buys no memory
        file.truncate(1 << 30)
    with pytest.raises(UserError) as caught:
        try_bundle(bundle)
    assert str(caught.value).isprintable()


@pytest.fixture
def speaking(tmp_path: Path) -> Path:
    return write_speaking_bundle(tmp_path / "speaking", ["kitchen", "bathroom"])


def test_a_text_encoder_that_computes_for_ever_is_ended(speaking: Path) -> None:
    try_bundle(speaking)
    add_work(speaking / TEXT_ENCODER_FILE, side=1024, products=20_000, some="mean", into="sum")
    reseal(speaking)
    with pytest.raises(UserError, match=r"self-test took more than 3 s of processor time"):
        try_bundle(speaking, limits=LIMITS._replace(processor_s=3))


def test_a_text_encoder_that_is_not_the_label_bank_s_or_fails_is_refused(speaking: Path, tmp_path: Path) -> None:
    whole = (speaking / TEXT_ENCODER_FILE).read_bytes()
    other = write_text_encoder(tmp_path / "other", 3, seed=1)
    (speaking / TEXT_ENCODER_FILE).write_bytes((other / TEXT_ENCODER_FILE).read_bytes())
    reseal(speaking)
    with pytest.raises(UserError, match=r"speaking: the text encoder does not reproduce .* 'kitchen'"):
        try_bundle(speaking)
    model = onnx.load_model_from_string(whole)
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    table.CopyFrom(numpy_helper.from_array(np.ones((1, 3), np.float32), "table"))  # no letter is in it
    onnx.save(model, str(speaking / TEXT_ENCODER_FILE))
    reseal(speaking)
    with pytest.raises(UserError, match=rf"self-test of {TEXT_ENCODER_FILE} ended with .*Gather"):
        try_bundle(speaking)


def test_room_mapper_s_text_encoder_is_tried_before_it_runs_there(speaking: Path) -> None:
    expected = open_dictionary(speaking).vector("pantry")
    assert expected is not None
    assert np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)
    add_memory(speaking / TEXT_ENCODER_FILE)
    reseal(speaking)
    dictionary = open_dictionary(speaking)
    assert dictionary.vector("kitchen") is not None  # which the label bank knows
    with pytest.raises(UserError, match=rf"its self-test of {TEXT_ENCODER_FILE} ended with"):
        dictionary.vector("pantry")


def test_the_child_ends_by_itself_where_its_parent_is_gone(bundle: Path) -> None:
    add_work(bundle / STUDENT_INT8, side=1024, products=20_000)
    reseal(bundle)
    code = (
        "import sys; from edgevl_core.bundle.self_test import LIMITS, try_bundle; "
        "try_bundle(sys.argv[1], limits=LIMITS._replace(processor_s=2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code, str(bundle)], env=environment, stderr=subprocess.DEVNULL)
    child = _until(lambda: _children(parent.pid))
    parent.kill()
    parent.wait()
    _until(lambda: not any(_runs(pid) for pid in child))


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    """Not gone, nor dead and not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _until(what):
    end_s = time.monotonic() + 90
    while not (found := what()):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    return found


# -- an int8 student that does not work here ------------------------------------------------------------------

ENGINE = {"engine": "onnxruntime", "providers": ("CPUExecutionProvider",), "threads": 1}


@pytest.fixture
def saturating(bundle: Path) -> Path:
    """A bundle whose int8 student gives other embeddings, as one of 8-bit weights does where products saturate."""
    write_student(bundle / STUDENT_INT8, gain=(1, -1, 1))
    reseal(bundle)
    return bundle


def test_auto_takes_the_float_student_and_says_so(saturating: Path) -> None:
    model = load_model(saturating, None, {**ENGINE, "precision": "auto"}, Smoother(0, 0, 1))
    assert model.bundle.engine.path.name == STUDENT_FP32
    assert "the float student answers" in model.bundle.fallback
    assert "cosine" in model.bundle.fallback
    assert model.bundle.fallback.isprintable()
    scene, *_ = model.classify(colour_image("green"), None, 0)
    assert scene.label == "green"


def test_precision_is_obeyed(saturating: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"student\.onnx gives other embeddings"):
        load_model(saturating, None, {**ENGINE, "precision": "int8"}, Smoother(0, 0, 1))
    model = load_model(saturating, None, {**ENGINE, "precision": "float"}, Smoother(0, 0, 1))
    assert (model.bundle.engine.path.name, model.bundle.fallback) == (STUDENT_FP32, "")
    with pytest.raises(UserError, match="precision 'half': accepted are auto, int8, float"):
        load_model(saturating, None, {**ENGINE, "precision": "half"}, Smoother(0, 0, 1))
    write_colour_bundle(tmp_path / "whole")
    for precision, file in (("auto", STUDENT_INT8), ("int8", STUDENT_INT8), ("float", STUDENT_FP32)):
        model = load_model(tmp_path / "whole", None, {**ENGINE, "precision": precision}, Smoother(0, 0, 1))
        assert (model.bundle.engine.path.name, model.bundle.fallback) == (file, "")


def test_a_float_student_that_is_wrong_too_is_refused(saturating: Path) -> None:
    write_student(saturating / STUDENT_FP32, gain=(1, -1, 1))
    reseal(saturating)
    with pytest.raises(UserError, match=rf"{STUDENT_FP32} gives other embeddings"):
        load_model(saturating, None, {**ENGINE, "precision": "auto"}, Smoother(0, 0, 1))


@pytest.mark.parametrize(("field", "reason"), [("ir_version", "IR version is 99"), ("opset", "opset is 99")])
def test_a_bundle_newer_than_this_onnx_runtime_says_which_is_needed(bundle: Path, field: str, reason: str) -> None:
    model = onnx.load(str(bundle / STUDENT_INT8))
    if field == "opset":
        model.opset_import[0].version = 99
    else:
        model.ir_version = 99
    onnx.save(model, str(bundle / STUDENT_INT8))
    reseal(bundle)
    with pytest.raises(UserError, match=rf"student\.onnx cannot be loaded by ONNX Runtime .*{reason}.*upgrade onnx"):
        try_bundle(bundle)
