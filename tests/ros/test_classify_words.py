"""Words that the bundle's bank has not, while frames go on; the label set as a latched topic."""

import json

import numpy as np
import pytest
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels
from std_msgs.msg import String

from edgevl_core.bundle import write_bundle
from edgevl_core.label_bank import build_label_bank
from edgevl_core.labels import Label, LabelSet
from edgevl_core.manifest import ByModality, Provenance
from edgevl_core.preprocess import Preprocess
from edgevl_core.text_encoder import OnnxTextEncoder
from tests.infer.tiny_text import write_text_encoder
from tests.ros import harness
from tests.ros.classifying import NODE, listening, stamp_ns, unaccounted

pytestmark = pytest.mark.ros
DIM = 16


def write_speaking_bundle(path, *, seed: int, layers: int) -> str:
    """A bundle with a text encoder, slow by ``layers``; returns its bundle_id."""
    text = write_text_encoder(path.with_suffix(".text"), DIM, seed=seed, layers=layers, width=1024)
    labels = tuple(Label(name=name) for name in harness.LABELS)
    ones = ByModality(rgb=1, depth=1, rgbd=1)
    student = harness.write_student(path.with_suffix(".onnx"), 32, DIM, 0, seed)
    manifest = write_bundle(
        path,
        student_onnx=student,
        student_fp32_onnx=student,
        label_bank=build_label_bank([LabelSet(templates=("a {}",), labels=labels)], OnnxTextEncoder(text)),
        golden_pixels=np.random.default_rng(seed).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8),
        student="test",
        teacher="test",
        preprocess=Preprocess(size_px=32),
        logit_scale=10.0,
        temperature=ones,
        unknown_threshold=ByModality(rgb=0, depth=0, rgbd=0),
        provenance=Provenance(created="2026-01-01T00:00:00Z"),
        text_encoder=text,
    )
    return manifest.bundle_id


def test_new_words_are_encoded_while_frames_go_on(graph, tmp_path):
    slow = write_speaking_bundle(tmp_path / "slow", seed=0, layers=600)
    fast = write_speaking_bundle(tmp_path / "fast", seed=1, layers=1)
    harness.write_test_bundle(tmp_path / "mute")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    other = graph.probe.create_client(SetLabels, f"{NODE}/set_labels")
    graph.start(NODE, bundle=str(tmp_path / "slow"), labels=["kitchen", "台所"])
    latched = graph.watch(String, f"{NODE}/labels")

    def label_set():
        return {} if latched() is None else json.loads(latched().data)

    # At start already: the parameter names a word that the bank has not.
    graph.until(lambda: label_set().get("labels") == ["kitchen", "台所"], "the label set")
    assert label_set() == {"version": 1, "bundle_id": slow, "labels": ["kitchen", "台所"]}
    graph.start_player(bag, loop=True, wait_rgb_subscribers=1, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats))
    graph.until(lambda: scenes, "answers")
    assert set(scenes[-1].labels) == {"kitchen", "台所"}
    swapped = graph.call(SetLabels, f"{NODE}/set_labels", labels=["台所", "kitchen"])  # both known by now
    assert (swapped.ok, swapped.version) == (True, 2)

    # Lists that are none.
    for labels, reason in ((["x"] * 10_000, "at most 256"), (["office", " "], "label 2 of 2 is blank")):
        future = other.call_async(SetLabels.Request(labels=labels))
        graph.until(future.done, "a refusal")
        refused = future.result()
        assert not refused.ok
        assert reason in refused.message
        assert (list(refused.labels), refused.version) == (["台所", "kitchen"], 2)

    # Many new words: the old label set answers until they are encoded, and nothing else changes meanwhile.
    words = [f"Räume der Stufe {number}" for number in range(200)]
    answered = len(scenes)
    future = other.call_async(SetLabels.Request(labels=[*words, "office", words[0].upper()]))
    refused = graph.call(SetLabels, f"{NODE}/set_labels", labels=["office"])
    assert "other labels are being encoded" in refused.message
    graph.until(future.done, "the encoding")
    while_encoding = [scene for scene in scenes[answered:] if scene.label_set_version == 2]
    assert len(while_encoding) >= 3
    change = future.result()
    assert (change.ok, change.version, len(change.labels)) == (True, 3, 201)
    assert "1 repeated" in change.message
    graph.until(lambda: label_set().get("version") == 3, "the new label set")
    assert label_set()["labels"] == [*words, "office"]
    graph.until(lambda: scenes[-1].label_set_version == 3, "an answer with the new label set")
    assert set(scenes[-1].labels) <= {*words, "office"}

    # The words outlive a change of the bundle, if the new one can encode them.
    loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "fast"))
    assert (loaded.ok, loaded.bundle_id) == (True, fast)
    graph.until(lambda: label_set().get("bundle_id") == fast, "the new bundle's label set")
    assert label_set()["labels"] == [*words, "office"]
    refused = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "mute"))
    assert (refused.ok, refused.bundle_id) == (False, fast)
    assert words[0] in refused.message
    assert "has no text encoder" in refused.message
    assert set(unaccounted(stats).values()) == {0}
    assert stats()["errors"] == "0"


def test_smoothing_holds_a_label_against_noise(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20)
    plain, smooth = {}, {}
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda m: plain.__setitem__(stamp_ns(m), m))
    graph.subscribe(SceneClass, "smooth/scene", lambda m: smooth.__setitem__(stamp_ns(m), m))
    counts, smooth_counts = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("smooth/stats")
    reliable = {"qos_reliability": "reliable", "qos_depth": 100, "bundle": str(tmp_path / "bundle")}
    graph.start(NODE, **reliable)
    graph.start(NODE, "-r", "__node:=smooth", smoothing_s=1.0, hysteresis=0.02, **reliable)
    player = graph.start_player(bag, wait_rgb_subscribers=2, wait_depth_subscribers=2, qos_depth=100)
    graph.resume_player(*listening(counts), *listening(smooth_counts))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    for stats, scenes in ((counts, plain), (smooth_counts, smooth)):
        graph.until(
            lambda stats=stats, scenes=scenes: stats().get("pairs") == "40" and len(scenes) == int(stats()["answered"]),
            "all answers",
        )
    spread = {
        name: np.std([scene.scores[0] for scene in each.values()])
        for name, each in (("plain", plain), ("smooth", smooth))
    }
    assert spread["smooth"] < spread["plain"]
    for scene in smooth.values():
        assert scene.confidence == scene.scores[list(scene.labels).index(scene.label)]
        assert sum(scene.scores) == pytest.approx(1.0, abs=1e-5)
