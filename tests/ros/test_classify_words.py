"""Words that the bundle's bank has not, while frames go on; the label set as a latched topic."""

import numpy as np
import pytest
from edgevl.msg import LabelSet, SceneClass
from edgevl.srv import EncodeText, LoadBundle, SetLabels

from edgevl_core.bundle.student_bundle import load_bundle
from tests.ros import harness
from tests.ros.classifying import DIM, NODE, listening, stamp_ns, unaccounted, write_speaking_bundle

pytestmark = pytest.mark.ros


def test_new_words_are_encoded_while_frames_go_on(graph, tmp_path):
    slow = write_speaking_bundle(tmp_path / "slow", seed=0, layers=300)
    fast = write_speaking_bundle(tmp_path / "fast", seed=1, layers=1)
    harness.write_test_bundle(tmp_path / "mute")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    other = graph.probe.create_client(SetLabels, f"{NODE}/set_labels")
    graph.start(NODE, bundle=str(tmp_path / "slow"), labels=["kitchen", "台所"])
    label_set = graph.watch(LabelSet, f"{NODE}/labels")

    def labels_are(*labels):
        return label_set() is not None and list(label_set().labels) == list(labels)

    # At start already: the parameter names a word that the bank has not.
    graph.until(lambda: labels_are("kitchen", "台所"), "the label set")
    told = LabelSet(version=1, bundle_id=slow, bundle_path=str(tmp_path / "slow"), labels=["kitchen", "台所"])
    assert label_set() == told
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
    graph.until(lambda: label_set().version == 3, "the new label set")
    assert labels_are(*words, "office")
    graph.until(lambda: scenes[-1].label_set_version == 3, "an answer with the new label set")
    assert set(scenes[-1].labels) <= {*words, "office"}

    # The words outlive a change of the bundle, if the new one can encode them.
    loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "fast"))
    assert (loaded.ok, loaded.bundle_id) == (True, fast)
    graph.until(lambda: label_set().bundle_id == fast, "the new bundle's label set")
    assert label_set().bundle_path == str(tmp_path / "fast")
    assert labels_are(*words, "office")
    refused = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "mute"))
    assert (refused.ok, refused.bundle_id) == (False, fast)
    assert words[0] in refused.message
    assert "has no text encoder" in refused.message
    assert set(unaccounted(stats).values()) == {0}
    assert stats()["errors"] == "0"


def test_words_are_told_as_points_beside_the_embeddings(graph, tmp_path):
    """The bank's words from any bundle, other words where it has a text encoder, without a frame or a label change."""
    speaking = write_speaking_bundle(tmp_path / "speaking", seed=0, layers=1)
    harness.write_test_bundle(tmp_path / "mute")
    graph.start(NODE, bundle=str(tmp_path / "speaking"))
    label_set = graph.watch(LabelSet, f"{NODE}/labels")
    graph.until(lambda: label_set() is not None, "the label set")
    known = harness.LABELS[0]
    encoded = graph.call(EncodeText, f"{NODE}/encode_text", words=[known.upper(), "台所"])
    bundle = load_bundle(tmp_path / "speaking")
    assert (encoded.ok, encoded.message, encoded.bundle_id, encoded.dimension) == (True, "", speaking, DIM)
    points = np.array(encoded.embeddings, np.float32).reshape(2, DIM)
    np.testing.assert_array_equal(points[0], bundle.label_bank.select([known]).vectors[0])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    assert label_set().version == 1
    assert "blank" in graph.call(EncodeText, f"{NODE}/encode_text", words=[" "]).message
    assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "mute")).ok
    refused = graph.call(EncodeText, f"{NODE}/encode_text", words=[known, "spaceship"])
    assert (refused.ok, list(refused.embeddings)) == (False, [])
    assert "'spaceship'" in refused.message


def test_smoothing_holds_a_label_against_noise(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20)
    plain, smooth = {}, {}
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda m: plain.__setitem__(stamp_ns(m), m))
    graph.subscribe(SceneClass, "smooth/scene", lambda m: smooth.__setitem__(stamp_ns(m), m))
    counts, smooth_counts = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("smooth/stats")
    reliable = {**harness.RELIABLE, "bundle": str(tmp_path / "bundle"), "fallback_after_s": 10.0}
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
