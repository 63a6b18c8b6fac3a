"""A cut student's directory: its halves answer as the whole, and what is damaged, forged or another's is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="a student is cut on the workstation")

from edgevl_cli.main import app
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.signing import new_key
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.classify.model import Model
from edgevl_core.classify.smoothing import Smoother
from edgevl_core.offload.halves import load_back, load_halves
from edgevl_core.offload.link import Link
from edgevl_core.offload.student import Offload
from edgevl_train.split.cut import find_cuts, load_network
from edgevl_train.split.write import write_split
from tests.core.offload.cut_student import BUNDLE, reseal, write_cut

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cut(tmp_path_factory.mktemp("made") / "cut")


@pytest.fixture
def cut(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "cut"))


@pytest.fixture(scope="module")
def whole() -> Model:
    bundle = load_bundle(BUNDLE, both=False)
    return Model(bundle, Classifier(bundle), Smoother(0.0, 0.0, 1.0))


def offload_of(cut: Path, wait_s: float = 0.0) -> Offload:
    halves = load_halves(cut)
    return Offload(halves, Link(halves.manifest, lambda number, features: False, 0.0, lambda text: None), wait_s)


def test_in_halves_a_classifier_says_what_it_says_with_the_whole(made, whole):
    halved = offload_of(made).through(whole)
    rng = np.random.default_rng(0)
    for stamp in range(4):
        rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        depth = rng.integers(300, 6000, (48, 64), dtype=np.uint16)
        (one, *said), (other, *also) = (each.classify(rgb, depth, stamp) for each in (whole, halved))
        assert said == also
        assert (one.label, one.labels, one.modality) == (other.label, other.labels, other.modality)
        assert float(one.embedding @ other.embedding) >= 0.9999
        assert other.inference_s > 0


def test_what_travels_is_small_and_the_base_station_needs_no_picture(made):
    manifest = load_back(made).manifest
    assert (manifest.dtype, manifest.shape, manifest.image_bytes) == ("uint8", (24, 8, 8), 1536)
    assert manifest.cosine >= 0.9999
    with np.load(made / "golden.npz") as arrays:
        assert {name: arrays[name].shape[1:] for name in arrays} == {"features": (24, 8, 8), "embeddings": (128,)}


def test_it_waits_for_what_a_frame_period_leaves_beside_the_robots_own_half(made):
    now = [100.0]
    halves = load_halves(made)
    link = Link(halves.manifest, lambda number, features: False, 1.0, lambda text: None)
    offload = Offload(halves, link, 0.0, lambda: now[0])
    for _ in range(10):
        now[0] += 0.1
        offload.frame(now[0])
    offload.back_s.add(0.02)
    assert offload.limit_s(1) == pytest.approx(0.08)
    now[0] += 0.01  # of work on the frame
    assert offload.limit_s(2) == pytest.approx(0.05)
    now[0] += 0.2  # too slow for its camera
    assert offload.limit_s(1) == pytest.approx(0.05)
    assert offload_of(made, wait_s=0.3).limit_s(1) == 0.3


def test_halves_of_another_student_leave_the_whole_in_its_place(cut, whole):
    reseal(cut, student_sha256="1" * 64)
    offload = offload_of(cut)
    offload.link.using = True  # with the bundle before
    left = offload.through(whole)
    assert "the robot computes alone: offload" in left.alone
    assert "is cut from another student.onnx" in left.alone
    assert (left.bundle.fallback, left.shortcomings) == ("", (left.alone,))
    assert not offload.link.using
    offload.link.using = True  # a late answer to the bundle before
    assert [offload.values(each)["offload"] for each in (left, whole, None)] == ["alone", "asking", "alone"]
    assert left.classify(np.zeros((48, 64, 3), np.uint8), None, 0)[0].label


def test_it_is_of_its_student_whatever_the_name_it_was_cut_under(tmp_path, whole):
    copied = Path(shutil.copy(BUNDLE / "student.onnx", tmp_path / "copy.onnx"))
    (split,) = (each for each in find_cuts(load_network(copied)) if each.after == 9)
    write_split(copied, split, tmp_path / "cut")
    assert not offload_of(tmp_path / "cut").through(whole).alone


def test_passed_as_a_bundle_it_is_named_as_what_it_is(made):
    with pytest.raises(UserError, match="is a cut student"):
        load_bundle(made)


def test_with_trusted_keys_halves_that_none_of_them_signed_are_refused(cut, tmp_path):
    public = new_key(tmp_path / "key.pem")
    with pytest.raises(UserError, match="is not signed"):
        load_halves(cut, trusted=(public,))
    app(["bundle", "sign", str(cut), "--key", str(tmp_path / "key.pem")], standalone_mode=False)
    assert load_halves(cut, trusted=(public,)).manifest.student == "student.onnx"
    reseal(cut, tensor="other")
    with pytest.raises(UserError, match="its signature does not fit its manifest"):
        load_back(cut, trusted=(public,))


def test_a_processor_that_computes_otherwise_is_refused(cut):
    with np.load(cut / "golden.npz") as arrays:
        np.savez(cut / "golden.npz", features=arrays["features"], embeddings=np.roll(arrays["embeddings"], 1, axis=1))
    reseal(cut)
    with pytest.raises(UserError, match="gives other embeddings on this processor"):
        load_back(cut)


def forge(**changes: object):
    return lambda cut: reseal(cut, **changes)


def edit(cut: Path) -> None:
    content = json.loads((cut / "manifest.json").read_text())
    (cut / "manifest.json").write_text(json.dumps(content | {"tensor": "other"}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda cut: (cut / "manifest.json").unlink(), "is no cut student"),
        (lambda cut: (cut / "manifest.json").write_text("{" * 100_000), "is damaged"),
        (lambda cut: (cut / "manifest.json").write_text("[]"), "is damaged"),
        (lambda cut: shutil.copy(BUNDLE / "manifest.json", cut), "is a student bundle, a cut student is needed"),
        (edit, "its content gives"),
        (lambda cut: (cut / "back.onnx").unlink(), "back.onnx is missing"),
        (lambda cut: (cut / "front.onnx").write_bytes(b"x"), "front.onnx has SHA-256"),
        (forge(files={"../back.onnx": "0" * 64}), "is damaged"),
        (forge(files={"back.onnx": "0" * 64}), "lists back.onnx"),
        (forge(shape=[24, 8, 9]), "the manifest says"),
        (forge(shape=[1 << 20, 1 << 20]), "bytes an image, at most"),
        (forge(dtype="int64"), "is damaged"),
        (forge(cosine=7.0), "is damaged"),
        (forge(embedding_dim=64), "the manifest says"),
        (forge(tensor="other"), "the manifest says"),
        (lambda cut: (shutil.copy(cut / "back.onnx", cut / "front.onnx"), reseal(cut)), "the manifest says"),
        (
            lambda cut: ((cut / "back.onnx").unlink(), (cut / "back.onnx").symlink_to("/proc/self/mem")),
            "cannot be read",
        ),
        (lambda cut: ((cut / "back.onnx").write_bytes(b"no network"), reseal(cut)), "it is no ONNX file"),
        (lambda cut: ((cut / "golden.npz").write_bytes(b"PK"), reseal(cut)), "cannot be read"),
    ],
)
def test_what_is_damaged_or_forged_is_refused_in_one_line(cut, damage, reason):
    damage(cut)
    with pytest.raises(UserError, match=reason) as error:
        load_halves(cut)
    assert "\n" not in str(error.value)
