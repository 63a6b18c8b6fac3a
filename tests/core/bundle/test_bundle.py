"""Student bundles: whole, verified, or refused with the reason."""

import json

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.files import below_roots
from edgevl_core.bundle.fusion import Trust
from edgevl_core.bundle.manifest import Manifest, manifest_bytes
from edgevl_core.bundle.self_test import try_bundle
from edgevl_core.bundle.student_bundle import load_bundle, read_manifest
from edgevl_core.bundle.vocabulary import bank_with
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.classify.model import load_model
from edgevl_core.classify.smoothing import Smoother
from edgevl_core.engine import Engine
from tests.core.tiny import as_schema, colour_bank, edit_manifest, reseal, write_colour_bundle, write_student
from tests.core.tiny_text import write_speaking_bundle, write_text_encoder

pytestmark = pytest.mark.unit


@pytest.fixture
def bundle(tmp_path):
    write_colour_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_write_and_load(bundle, tmp_path):
    loaded = load_bundle(bundle)
    assert loaded.manifest == read_manifest(bundle)
    assert loaded.manifest.embedding_dim == 3
    assert loaded.label_bank.names == ("red", "green", "blue")
    assert loaded.engine.path == bundle / "student.onnx"
    assert {path.name for path in bundle.iterdir()} == {*loaded.manifest.files, "manifest.json"}
    assert not list(tmp_path.glob(".bundle*"))


def test_manifest_round_trips_through_json(bundle):
    manifest = read_manifest(bundle)
    assert Manifest.model_validate(json.loads(manifest_bytes(manifest))) == manifest
    assert manifest.temperature.of("depth") == 2.0
    assert manifest.metrics == {"rgb": {"top1": 0.9}, "samples": 12}


@pytest.mark.parametrize("version", [1, 2])
def test_bundles_of_earlier_schemas_are_read_and_say_what_is_not_covered(bundle, version):
    as_schema(bundle, version)
    loaded = load_bundle(bundle)
    assert loaded.manifest.trust == Trust()
    assert loaded.label_bank.names == ("red", "green", "blue")
    assert "covers neither preprocessing nor calibration" in loaded.notes[0]


def test_a_bundle_may_be_made_for_some_labels_of_its_bank(tmp_path):
    write_colour_bundle(tmp_path / "two", labels=["blue", "Crimson"])
    assert read_manifest(tmp_path / "two").labels == ("blue", "red")
    assert load_bundle(tmp_path / "two").label_bank.names == ("red", "green", "blue")
    with pytest.raises(UserError, match="pink"):
        write_colour_bundle(tmp_path / "pink", labels=["pink"])


def test_the_id_depends_on_everything(tmp_path):
    first = write_colour_bundle(tmp_path / "a")
    second = write_colour_bundle(tmp_path / "b")
    named = write_colour_bundle(tmp_path / "c", student="another name")
    other = write_colour_bundle(tmp_path / "d", student_onnx=write_student(tmp_path / "x", gain=(1, 1.01, 1)))
    assert first.bundle_id == second.bundle_id
    assert len({first.bundle_id, named.bundle_id, other.bundle_id}) == 3


def test_nothing_is_written_over(bundle):
    with pytest.raises(UserError, match="exists already"):
        write_colour_bundle(bundle)


def test_nothing_is_left_where_writing_fails(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_colour_bundle(tmp_path / "bundle", metrics={"top1": float("nan")})
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".bundle*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"preprocess": Preprocess(size_px=32)}, "preprocessing makes 32 px"),
        ({"golden_pixels": np.zeros((0, 3, 16, 16), np.uint8)}, "golden inputs"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, change, reason):
    with pytest.raises(UserError, match=reason):
        write_colour_bundle(tmp_path / "bundle", **change)


def test_label_bank_of_another_teacher_is_refused(tmp_path):
    bank = colour_bank()
    other = type(bank)(bank.names, bank.prompts, bank.synonyms, np.ones((3, 4), np.float32) / 2)
    with pytest.raises(UserError, match="label bank has 4"):
        write_colour_bundle(tmp_path / "bundle", bank=other)


@pytest.mark.parametrize("name", ["student.onnx", "student_fp32.onnx", "golden.npz", "label_bank.npz"])
def test_one_changed_byte_is_found(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"{name} has SHA-256 [0-9a-f]{{12}}\.\.\., the manifest says"):
        load_bundle(bundle)


def test_a_missing_file_is_named(bundle):
    (bundle / "label_bank.npz").unlink()
    with pytest.raises(UserError, match=r"label_bank\.npz is missing"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 7}, "schema version 7, this edgevl reads 1, 2 and 3"),
        ({"surprise": 1}, "surprise"),
        ({"logit_scale": -1.0}, "logit_scale"),
        ({"bundle_id": "0123456789ab"}, "bundle id 0123456789ab"),
        ({"files": {}}, "lists no hash for student.onnx"),
        ({"files": {"../../etc/passwd": "0" * 64}}, "files"),
        ({"labels": ["red", "pink"]}, r"\['pink'\] are not in the bank"),
        ({"labels": []}, "labels"),
        ({"embedding_dim": 4}, "the manifest says 4"),
    ],
)
def test_a_changed_manifest_is_refused(bundle, changes, reason):
    edit_manifest(bundle, **changes)
    with pytest.raises(UserError, match=reason):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1'])
def test_a_damaged_manifest_is_refused(bundle, text):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="damaged"):
        load_bundle(bundle)


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a student bundle"):
        load_bundle(tmp_path)


def test_a_student_that_computes_something_else_is_refused(bundle):
    write_student(bundle / "student.onnx", gain=(1, -1, 1))
    reseal(bundle)
    with pytest.raises(UserError, match=r"golden inputs: cosine -?0\.\d+"):
        load_bundle(bundle)


def test_a_file_that_is_no_network_is_refused(bundle):
    (bundle / "student.onnx").write_bytes(b"not a network")
    reseal(bundle)
    with pytest.raises(UserError, match="cannot be loaded by ONNX Runtime"):
        load_bundle(bundle)


def test_engine_names_the_providers_there_are(bundle):
    with pytest.raises(UserError, match=r"WarpDrive is not available: choose among .*CPUExecutionProvider"):
        load_bundle(bundle, providers=["WarpDrive"])
    with pytest.raises(UserError, match="none given"):
        Engine(bundle / "student.onnx", providers=[])
    with pytest.raises(UserError, match="threads=0"):
        Engine(bundle / "student.onnx", threads=0)
    with pytest.raises(UserError, match="no such file"):
        Engine(bundle / "none.onnx")


def test_engine_runs_any_batch_also_where_the_file_has_a_fixed_one(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
    free = Engine(write_student(tmp_path / "free.onnx"))
    fixed = Engine(write_student(tmp_path / "fixed.onnx", batch=1))
    assert (free.free_batch, fixed.free_batch) == (True, False)
    assert (free.size_px, free.embedding_dim) == (16, 3)
    np.testing.assert_allclose(free(pixels), fixed(pixels), rtol=1e-5)
    assert free(pixels).shape == (5, 3)


def test_engine_refuses_a_network_that_is_no_student(tmp_path):
    import onnx

    model = onnx.load(write_student(tmp_path / "a.onnx"))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(model, tmp_path / "float.onnx")
    with pytest.raises(UserError, match="is not a student"):
        Engine(tmp_path / "float.onnx")


# -- the text encoder ------------------------------------------------------------------------------------


@pytest.fixture
def speaking_bundle(tmp_path):
    """A bundle with a text encoder, and the bank that it made."""
    return write_speaking_bundle(tmp_path / "bundle", ("red", "blue"), ("a {} room", "{}"))


def test_a_text_encoder_is_part_of_the_bundle_and_makes_new_words(speaking_bundle):
    loaded = load_bundle(speaking_bundle)
    assert loaded.text_encoder == speaking_bundle
    assert {"text_encoder.onnx", "tokenizer.json"} <= set(loaded.manifest.files)
    assert loaded.label_bank.templates == ("a {} room", "{}")
    bank = bank_with(loaded.label_bank, ["blue", "grün"], loaded.text_encoder)
    assert bank.names == ("red", "blue", "grün")
    np.testing.assert_allclose(np.linalg.norm(bank.vectors, axis=1), 1, atol=1e-6)


def test_a_bundle_goes_without_a_text_encoder(bundle):
    assert load_bundle(bundle).text_encoder is None


def test_a_damaged_text_encoder_is_refused(speaking_bundle):
    path = speaking_bundle / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"tokenizer\.json has SHA-256"):
        load_bundle(speaking_bundle)


def test_half_a_text_encoder_is_refused(speaking_bundle):
    files = {name: value for name, value in read_manifest(speaking_bundle).files.items() if name != "tokenizer.json"}
    reseal(speaking_bundle, files=files)
    with pytest.raises(UserError, match=r"it has text_encoder\.onnx only"):
        load_bundle(speaking_bundle)


def test_a_text_encoder_of_another_teacher_is_not_written(tmp_path):
    text = write_text_encoder(tmp_path / "text", 3)
    with pytest.raises(UserError, match="does not reproduce the label bank's vector of 'red'"):
        write_colour_bundle(tmp_path / "bundle", text_encoder=text)
    assert not (tmp_path / "bundle").exists()


# -- where bundles may come from ---------------------------------------------------------------------------


def test_roots_are_compared_by_what_a_path_really_names(tmp_path):
    inside, outside = tmp_path / "bundles", tmp_path / "elsewhere"
    for folder in (inside / "home", outside / "home", tmp_path / "bundles2"):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to(outside / "home")
    roots = (str(inside),)
    assert below_roots(inside / "home", roots) == (inside / "home").resolve()
    for path in (outside / "home", inside / "link", inside / ".." / "elsewhere" / "home", tmp_path / "bundles2"):
        with pytest.raises(UserError, match="parameter bundle_roots"):
            below_roots(path, roots)
        assert below_roots(path, ()) == path


def test_a_root_may_lie_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert below_roots(tmp_path / "bundles" / "home", ("~/bundles",)) == (tmp_path / "bundles" / "home").resolve()


@pytest.mark.parametrize(
    ("name", "reason"), [("n" * 300, "File name too long"), ("n/" * 3000, "File name too long"), ("a\0b", "null")]
)
@pytest.mark.parametrize(
    "use",
    [
        read_manifest,
        load_bundle,
        try_bundle,
        lambda path: load_model(path, None, {}, Smoother(0.0)),
        lambda path: below_roots(path, ("/",)),
    ],
)
def test_what_the_system_takes_for_no_path_is_refused_in_one_line(tmp_path, name, reason, use):
    with pytest.raises(UserError, match=rf"cannot be read \(.*{reason}.*\): pass the directory") as refused:
        use(tmp_path / name)
    assert str(refused.value).isprintable()


def test_a_loop_of_links_is_no_bundle(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"loop cannot be read \(Too many levels of symbolic links\)"):
        try_bundle(tmp_path / "loop")
