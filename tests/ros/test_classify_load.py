"""scene_classifier and label_overlay do no more than is asked of them, and say so."""

import time
from itertools import pairwise

import pytest
from edgevl.msg import LabelSet, SceneClass
from edgevl.srv import LoadBundle, SetLabels
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from edgevl_core.camera.images import decode_rgb
from edgevl_ros.node.qos import LATCHED
from tests.ros import harness
from tests.ros.classifying import NODE, accounted, listening, numbers, stamp_ns, unaccounted, write_speaking_bundle

pytestmark = pytest.mark.ros


def test_nothing_is_decoded_while_nobody_listens(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    stats, always = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("always/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"))
    graph.start(NODE, "-r", "__node:=always", bundle=str(tmp_path / "bundle"), idle_without_subscribers=False)
    graph.start_player(bag, loop=True, wait_rgb_subscribers=2, wait_depth_subscribers=2)
    graph.resume_player(*listening(stats, 0), *listening(always, 0))
    graph.until(lambda: int(stats().get("idle", 0)) >= 10, "idle frames")
    assert numbers(stats, "answered", "superseded", "failed", "in_progress") == dict.fromkeys(
        ("answered", "superseded", "failed", "in_progress"), 0
    )
    assert stats()["inference_p50_ms"] == "nan"
    graph.until(lambda: int(always().get("answered", 0)) >= 10, "answers that nobody hears")
    assert always()["idle"] == "0"

    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    graph.until(lambda: scenes, "an answer, now that somebody listens")
    assert set(unaccounted(stats).values()) == {0}


def test_frames_beyond_the_rate_are_counted(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=30, hz=30)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    # One frame in 100 s: the first, however slow the machine is.
    graph.start(NODE, bundle=str(tmp_path / "bundle"), max_rate_hz=0.01, fallback_after_s=10.0, **harness.RELIABLE)
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=100)
    graph.resume_player(*listening(stats))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: stats().get("frames") == "30" and accounted(stats), "30 frames to be dealt with")
    assert numbers(stats, "answered", "rate_limited") == {"answered": 1, "rate_limited": 29}
    graph.until(lambda: len(scenes) == 1, "the answer")
    assert stamp_ns(scenes[0]) == harness.START_NS


def test_the_overlay_rests_until_somebody_looks_and_speaks_jpeg(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=10, size=(320, 240))
    overlay, stats = graph.watch_stats("label_overlay/stats"), graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"))
    graph.start("label_overlay", compressed=True)
    graph.start_player(bag, loop=True, wait_rgb_subscribers=2, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats), (overlay, "publishers_rgb", 1))
    graph.until(lambda: int(overlay().get("idle", 0)) >= 5, "images that nobody looks at")
    assert numbers(overlay, "drawn", "waiting") == {"drawn": 0, "waiting": 0}

    pictures = []
    graph.subscribe(CompressedImage, "label_overlay/image/compressed", pictures.append)
    graph.until(lambda: len(pictures) >= 3, "pictures")
    assert pictures[0].format == "rgb8; jpeg compressed bgr8"
    assert bytes(pictures[0].data[:2]) == b"\xff\xd8"
    picture = decode_rgb(pictures[0])
    assert picture.shape == (240, 320, 3)
    assert picture[225:230, 100:220].std() < picture[20:100].std() / 2  # the panel over the noise
    assert pictures[0].header.frame_id == harness.FRAME_ID
    graph.until(lambda: int(overlay()["drawn"]) >= 3, "the count of pictures")
    assert overlay()["image_subscribers"] == "0"
    counts = numbers(overlay, "received_rgb", "drawn", "idle", "without_answer", "waiting", "failed")
    assert sum(counts.values()) == 2 * counts["received_rgb"]


def test_new_words_do_not_wait_for_the_next_frame(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=3)
    scenes, pictures = [], []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    graph.subscribe(Image, "label_overlay/image", pictures.append)
    stats, overlay = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("label_overlay/stats")
    slow = {"max_rate_hz": 0.01, "reset_after_s": 3600.0}
    graph.start(NODE, bundle=str(tmp_path / "bundle"), **slow, **harness.RELIABLE)
    graph.start("label_overlay", **harness.RELIABLE)
    graph.start_player(bag, wait_rgb_subscribers=2, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats, 2), (overlay, "publishers_rgb", 1), (overlay, "image_subscribers", 1))
    graph.until(lambda: len(scenes) == len(pictures) == 1, "the answer to the only frame that is looked at")
    change = graph.call(SetLabels, f"{NODE}/set_labels", labels=["office", "kitchen"])
    graph.until(lambda: len(scenes) == len(pictures) == 2, "another answer to the same frame, and its picture")
    assert pictures[1].header == pictures[0].header
    assert pictures[1].data != pictures[0].data
    assert stamp_ns(scenes[1]) == stamp_ns(scenes[0])
    assert scenes[1].label_set_version == change.version == 2
    assert set(scenes[1].labels) == {"office", "kitchen"}
    # The same look at it: scores by the same cosines, among fewer words.
    before = dict(zip(scenes[0].labels, scenes[0].scores, strict=True))
    after = dict(zip(scenes[1].labels, scenes[1].scores, strict=True))
    assert after["office"] / after["kitchen"] == pytest.approx(before["office"] / before["kitchen"], rel=1e-4)
    assert not graph.call(SetLabels, f"{NODE}/set_labels", labels=["spaceship"]).ok  # changes nothing, says nothing
    graph.until(lambda: stats()["repeated"] == "1", "the count")
    assert stats()["answered"] == "1"
    assert len(scenes) == 2


def test_labels_that_cannot_be_drawn_are_told_before_the_first_answer(graph, tmp_path):
    node = graph.start("label_overlay")
    words = graph.probe.create_publisher(LabelSet, f"{NODE}/labels", LATCHED)
    words.publish(LabelSet(version=1, labels=["kitchen", "台所"]))
    graph.until(lambda: "label 台所 cannot be drawn with ASCII letters: set font" in node.output(), "the warning")
    words.publish(LabelSet(version=2, labels=["café", "bath"]))  # é is drawn as e
    words.publish(LabelSet(version=3, labels=["浴室"]))
    graph.until(lambda: "label 浴室 cannot" in node.output(), "the next warning")
    assert node.stop() == 0
    assert node.output().count("cannot be drawn") == 2


def test_an_overlay_without_its_font_does_not_start(graph, tmp_path):
    node = graph.start("label_overlay", font=str(tmp_path / "missing.ttf"))
    assert node.wait() == 2
    assert "missing.ttf cannot be read" in node.output()
    assert "Traceback" not in node.output()


def test_answers_go_on_while_bundles_and_labels_change(graph, tmp_path):
    # New words make loading slow: they are encoded anew by each bundle.
    ids = [write_speaking_bundle(tmp_path / name, seed=k, layers=200) for k, name in enumerate(("first", "second"))]
    words = [f"level {number}" for number in range(30)]
    bag = harness.write_bag(tmp_path / "bag", frames=900, hz=10)  # on a busy machine both loads take half a minute
    heard: list[tuple[float, SceneClass]] = []
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda scene: heard.append((time.monotonic(), scene)))
    stats = graph.watch_stats(f"{NODE}/stats")
    # Patience that loading cannot use up: each image of both cameras is of a frame.
    graph.start(NODE, bundle=str(tmp_path / "first"), labels=words, fallback_after_s=60.0, **harness.RELIABLE)
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=100)
    # The services are found before the bag plays.
    assert not graph.call(SetLabels, f"{NODE}/set_labels", labels=[" "]).ok
    assert not graph.call(LoadBundle, f"{NODE}/load_bundle", path="").ok
    graph.resume_player(*listening(stats))
    graph.until(lambda: len(heard) >= 3, "answers")
    loads_s = []
    for name in ("second", "first"):
        start_s, before = time.monotonic(), len(heard)
        assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / name)).ok
        loads_s.append(time.monotonic() - start_s)
        print(f"swap: {loads_s[-1]:.2f} s to load, {len(heard) - before} answers meanwhile")
    asked_s = time.monotonic()
    change = graph.call(SetLabels, f"{NODE}/set_labels", labels=["office", "kitchen"])
    assert (change.ok, change.version) == (True, 2)

    def renamed():
        return next((s for s, scene in heard if scene.label_set_version == 2), None)

    first_s = graph.until(renamed, "an answer with the new label set")
    print(f"label change: {(first_s - asked_s) * 1e3:.0f} ms from the request to the first answer at 10 Hz")
    assert graph.call(Trigger, "bag_player/pause").success
    graph.until(lambda: stats().get("frames") == player().get("sent_rgb") and accounted(stats), "all frames' fate")
    graph.until(lambda: len(heard) == int(stats()["answered"]) + int(stats()["repeated"]), "all answers")
    assert set(unaccounted(stats).values()) == {0}
    assert stats()["failed"] == "0"
    frames = [round((stamp_ns(scene) - harness.START_NS) / 1e8) for _, scene in heard]
    # Frame periods without an answer: two, on a machine so busy that loading takes long half of that at most.
    assert max(after - before for before, after in pairwise([-1, *frames])) <= max(2, 5 * min(loads_s))
    assert frames == sorted(frames)
    assert {scene.bundle_id for _, scene in heard} == set(ids)
