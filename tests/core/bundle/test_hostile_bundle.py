"""A changed bundle is refused in one line, or answers as before: damaged, or forged with all hashes put right."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import Bundle, load_bundle
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.classify.classifier import Classifier, Scene
from tests.core.bundle.hostile import change_array, model_of, one_plain_line, refusal
from tests.core.tiny import (
    SIZE_PX,
    colour_bank,
    colour_image,
    edit_manifest,
    reseal,
    write_colour_bundle,
    write_student,
)

pytestmark = pytest.mark.unit


def answers(bundle: Bundle) -> list[Scene]:
    classifier = Classifier(bundle)
    depth = np.linspace(0.5, 6, 24 * 32, dtype=np.float32).reshape(24, 32)
    seen: list[dict[str, Any]] = [{"rgb": colour_image(name)} for name in ("red", "blue")]
    return [classifier.classify(**images) for images in (*seen, {"depth": depth}, {**seen[0], "depth": depth})]


def assert_same(before: list[Scene], after: list[Scene]) -> None:
    for a, b in zip(before, after, strict=True):
        assert (a.label, a.known, a.modality) == (b.label, b.known, b.modality)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)


def change_words(bundle: Path, **changes: object) -> None:
    def changed(words: np.ndarray) -> np.ndarray:
        content = json.loads(words.tobytes()) | changes
        return np.frombuffer(json.dumps(content).encode(), np.uint8)

    change_array(bundle, "label_bank.npz", "words", changed)


# -- numbers in the manifest ---------------------------------------------------------------------------------


BAD = [float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-9, 1e9, 1e300, 10**400, "one", None, []]


@pytest.mark.parametrize("value", BAD, ids=str)
@pytest.mark.parametrize("field", ["temperature", "unknown_threshold", "logit_scale"])
@pytest.mark.parametrize("sealed", [False, True], ids=["damaged", "forged"])
def test_numbers_that_calibration_never_finds(bundle: Path, field: str, value: object, sealed: bool) -> None:
    content = json.loads((bundle / "manifest.json").read_text())[field]
    changed = value if field == "logit_scale" else {**content, "rgb": value}
    edit_manifest(bundle, **{field: changed})
    if sealed and not (isinstance(value, float) and not np.isfinite(value)):  # no id can be made for those
        reseal(bundle)
    assert field in refusal(bundle) or "damaged" in refusal(bundle)


@pytest.mark.parametrize("bit", [0, 20, 40, 51, 52, 55, 63])
def test_one_bit_of_a_temperature(bundle: Path, bit: int) -> None:
    temperature = json.loads((bundle / "manifest.json").read_text())["temperature"]
    raw = np.array([temperature["depth"]], np.float64).view(np.uint64) ^ np.uint64(1 << bit)
    edit_manifest(bundle, temperature={**temperature, "depth": float(raw.view(np.float64)[0])})
    refusal(bundle)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preprocess": {"size_px": SIZE_PX, "rotation_deg": 90}}, "preprocessing .*rotation_deg 90"),
        ({"preprocess": {"size_px": SIZE_PX, "rotation_deg": 180}}, "preprocessing .*rotation_deg 180"),
        ({"preprocess": {"size_px": SIZE_PX, "depth_encoding": "minmax"}}, "preprocessing .*'minmax'"),
        ({"logit_scale": 5.5}, "scores"),
        ({"temperature": {"rgb": 1.0, "depth": 1.0, "rgbd": 1.0}}, "scores"),
        ({"unknown_threshold": {"rgb": 0.5, "depth": 0.4, "rgbd": 0.5}}, "unknown_threshold"),
        ({"trust": {"depth": {"at": [0.1, 0.4], "weight": [0.5, 1.0]}}}, "trust"),
        ({"labels": ["red", "RED"]}, "a label occurs twice"),
        ({"labels": ["red", "\x1b[2J"]}, "labels.1"),
        ({"labels": ["red", "neerg\u202e"]}, "labels.1"),
    ],
)
def test_preprocessing_and_calibration_are_bound_to_the_golden_inputs(
    bundle: Path, changes: dict[str, object], reason: str
) -> None:
    edit_manifest(bundle, **changes)

    assert re.search(f"{reason}|bundle id", refusal(bundle))
    reseal(bundle)
    assert re.search(reason, refusal(bundle))


def test_where_a_bundle_comes_from_is_told_in_plain_text(bundle: Path) -> None:
    """Nothing is decided by it, so it is shown without what a terminal obeys, and not refused."""
    bag = {"name": "a\x1b[2Jbag", "sha256": "0" * 64, "pairs": 1, "registered": "\u202eno"}
    told = {"bags": [bag], "recipe": {}, "software": {"\x1b[8medgevl": "1\x07"}, "created": "\x1b]0;now\x07"}
    reseal(bundle, provenance=told)
    found = load_bundle(bundle).manifest.provenance
    assert [found.bags[0].name, found.bags[0].registered] == ["a [2Jbag", "no"]
    assert (found.created, found.software) == ("]0;now", {"[8medgevl": "1"})


def test_an_earlier_schema_is_no_way_around(bundle: Path) -> None:
    reseal(bundle, schema_version=2, preprocess={"size_px": SIZE_PX, "rotation_deg": 90})
    assert "rotation_deg 90" in refusal(bundle)


# -- label bank ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: np.full_like(v, np.nan), "not of length 1"),
        (lambda v: v * 0, "not of length 1"),
        (lambda v: v * 1000, "not of length 1"),
        (lambda v: v[::-1], "give other scores"),
        (lambda v: -v, "give other scores"),
        (lambda v: v.astype(np.float64), "float64"),
        (lambda v: v[:2], "3 names"),
        (lambda v: np.array([None] * 3), "cannot be read"),
    ],
    ids=["nan", "zero", "times 1000", "reversed", "negative", "float64", "too few", "pickle"],
)
def test_vectors_that_are_not_those_of_the_bundle(bundle: Path, change: Callable, reason: str) -> None:
    change_array(bundle, "label_bank.npz", "vectors", change)
    reseal(bundle)
    assert reason in refusal(bundle)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"names": ["red", "Red", "blue"]}, "stands for two labels"),
        ({"names": ["red", " ", "blue"]}, "is blank"),
        ({"synonyms": [["crimson"], ["Crimson"], []]}, "stands for two labels"),
        ({"names": ["green", "red", "blue"]}, "other words"),
        ({"names": ["red", "gr\neen", "blue"]}, "names.1"),
        ({"names": 7}, "names"),
        ({"names": [7, 8, 9]}, "names.0"),
    ],
)
def test_words_that_are_not_those_of_the_bundle(bundle: Path, changes: dict[str, object], reason: str) -> None:
    change_words(bundle, **changes)
    reseal(bundle)
    assert reason in refusal(bundle)


# -- sizes ---------------------------------------------------------------------------------------------------


def test_swapped_students_are_found(tmp_path: Path) -> None:
    """A float student in place of the int8 one would be right but slow; the other way round a GPU gets integers."""
    plain = write_student(tmp_path / "plain.onnx")
    model = onnx.load(str(plain))
    quantise = helper.make_node("QuantizeLinear", ["scaled", "step", "zero"], ["whole"])
    back = helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["again"])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "step"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), "zero"))
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Reshape")
    model.graph.node[at].input[0] = "again"
    for node in (back, quantise):
        model.graph.node.insert(at, node)
    onnx.save(model, str(tmp_path / "quantised.onnx"))
    bundle = tmp_path / "bundle"
    write_colour_bundle(bundle, student_onnx=tmp_path / "quantised.onnx")
    (bundle / "student.onnx").rename(bundle / "other")
    (bundle / "student_fp32.onnx").rename(bundle / "student.onnx")
    (bundle / "other").rename(bundle / "student_fp32.onnx")
    reseal(bundle)
    assert "student_fp32.onnx is quantised" in refusal(bundle)


@pytest.mark.parametrize("name", ["student.onnx", "student_fp32.onnx"])
def test_both_students_must_give_their_golden_embeddings(bundle: Path, name: str) -> None:
    write_student(bundle / name, gain=(1, -1, 1))
    reseal(bundle)
    assert f"{name} gives other embeddings" in refusal(bundle)


def test_embeddings_of_another_length_are_refused(bundle: Path) -> None:
    """Cosines alone do not see it, and scores would all change."""
    model = model_of(bundle)
    model.graph.node[-1].output[0] = "unit"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1000), "thousand"))
    model.graph.node.append(helper.make_node("Mul", ["unit", "thousand"], ["embedding"]))
    (bundle / "student.onnx").write_bytes(model.SerializeToString())
    reseal(bundle)
    assert "cosine nan" in refusal(bundle)


# -- anything ------------------------------------------------------------------------------------------------


def _damaged(bundle: Path, rng: random.Random) -> None:
    """Some bits, bytes, or an end less; no hash is put right."""
    file = rng.choice(sorted(bundle.iterdir()))
    data = bytearray(file.read_bytes())
    kind = rng.randrange(4)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        start = rng.randrange(len(data))
        data[start : start + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(0, 40))
    elif kind == 2:
        del data[rng.randrange(len(data)) :]
    else:
        data += rng.randbytes(rng.randrange(1, 40))
    file.write_bytes(data)


def _forged_file(bundle: Path, rng: random.Random) -> None:
    """The same, and every hash put right: now the contents must be refused, or be harmless."""
    before = (bundle / "manifest.json").read_bytes()
    while (bundle / "manifest.json").read_bytes() == before:
        _damaged(bundle, rng)
        if (bundle / "manifest.json").read_bytes() != before:
            (bundle / "manifest.json").write_bytes(before)  # that one is forged by value
            continue
        reseal(bundle)


VALUES = [None, True, -1, 0, 1, 2.5, 1e12, "", "x" * 5000, "\x1b[31m\n", [], {}, [[]], {"a": 1}, "0" * 64]


def _forged_value(bundle: Path, rng: random.Random) -> None:
    """Any value of the manifest but those that rightly change the answers: another set of labels."""
    content = json.loads((bundle / "manifest.json").read_text())
    place: Any = content
    while True:
        key = rng.choice([k for k in (place if isinstance(place, dict) else range(len(place))) if k != "labels"])
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
            break
        place = place[key]
    place[key] = rng.choice(VALUES)
    (bundle / "manifest.json").write_text(json.dumps(content))
    if "files" in content and isinstance(content["files"], dict) and "schema_version" in content:
        try:
            reseal(bundle, files=content["files"])
        except TypeError:
            return  # schema and file hashes that no id can be made of


@pytest.mark.parametrize("mutation", [_damaged, _forged_value])
def test_any_change_is_refused_in_one_line_or_harmless(whole: Path, tmp_path: Path, mutation: Callable) -> None:
    expected = answers(load_bundle(whole))
    refused = 0
    for seed in range(150):
        bundle = Path(shutil.copytree(whole, tmp_path / str(seed)))
        mutation(bundle, random.Random(seed))
        try:
            loaded = load_bundle(bundle)
        except UserError as error:
            one_plain_line(str(error))
            refused += 1
        else:
            assert_same(expected, answers(loaded))
        shutil.rmtree(bundle)
    assert refused > 75


def test_forged_files_never_raise_anything_else(whole: Path, tmp_path: Path) -> None:
    """Some bits of a weight may change and leave the golden embeddings where they are: that is another student."""
    for seed in range(150):
        bundle = Path(shutil.copytree(whole, tmp_path / str(seed)))
        _forged_file(bundle, random.Random(seed))
        try:
            answers(load_bundle(bundle))
        except UserError as error:
            one_plain_line(str(error))
        shutil.rmtree(bundle)


def test_what_is_written_can_be_loaded_or_is_not_written(tmp_path: Path) -> None:
    bank = colour_bank()
    long = type(bank)(bank.names, bank.prompts, bank.synonyms, bank.vectors * 2)
    with pytest.raises(UserError, match="not of length 1"):
        write_colour_bundle(tmp_path / "long", bank=long)
    assert not (tmp_path / "long").exists()
    write_colour_bundle(tmp_path / "turned", preprocess=Preprocess(size_px=SIZE_PX, rotation_deg=270))
    assert load_bundle(tmp_path / "turned").manifest.preprocess.rotation_deg == 270
