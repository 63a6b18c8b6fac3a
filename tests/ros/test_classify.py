"""scene_classifier and label_overlay over Fast DDS: every message accounted for, models changed live."""

from importlib.util import find_spec

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from edgevl_core.camera.images import decode_rgb
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_ros.classify.messages import vision_types
from edgevl_ros.node.images import cv2_to_imgmsg
from edgevl_ros.node.qos import stream_qos
from tests.core.tiny import write_colour_bundle
from tests.ros import harness
from tests.ros.classifying import NODE, accounted, listening, stamp_ns, unaccounted

pytestmark = pytest.mark.ros


def test_every_frame_is_answered_or_superseded_and_drawn(graph, tmp_path):
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=10, size=(320, 240), depth_offset_ms=5)
    scenes, overlays, markers = {}, {}, []
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda m: scenes.__setitem__(stamp_ns(m), m))
    graph.subscribe(Image, "label_overlay/image", lambda m: overlays.__setitem__(stamp_ns(m), m))
    graph.subscribe(Marker, "label_overlay/marker", markers.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    # Patience that a loaded machine cannot use up.
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE)
    graph.start("label_overlay", **harness.RELIABLE)
    overlay_stats = graph.watch_stats("label_overlay/stats")
    player = graph.start_player(bag, wait_rgb_subscribers=2, wait_depth_subscribers=1, qos_depth=100, rate=2.0)
    ends = ("image_subscribers", "marker_subscribers", "publishers_rgb", "publishers_scenes")
    drawn = [(overlay_stats, key, 1) for key in ends]
    graph.resume_player(*listening(stats, 2), *drawn)

    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    sent = player()
    graph.until(
        lambda: all(stats()[f"received_{s}"] == sent[f"sent_{s}"] for s in ("rgb", "depth")) and accounted(stats),
        "all sent images to be received and dealt with",
    )
    counts = {key: int(stats()[key]) for key in ("pairs", "frames", "answered", "superseded", "failed", "errors")}
    assert stats()["received_rgb"] == sent["sent_rgb"] == "40"
    assert counts["pairs"] == counts["frames"] == 40
    assert counts["answered"] + counts["superseded"] == 40
    assert counts["failed"] == counts["errors"] == 0
    assert set(unaccounted(stats).values()) == {0}
    assert stats()["bundle_id"] == bundle_id
    assert [stats()[key] for key in ("engine", "provider", "threads")] == ["onnxruntime", "CPUExecutionProvider", "1"]
    work_ms, inference_ms = (float(stats()[f"{name}_p50_ms"]) for name in ("work", "inference"))
    assert float(stats()["latency_p95_ms"]) > work_ms > inference_ms > 0
    graph.until(lambda: len(scenes) == counts["answered"], "all answers")

    def to_draw() -> set[int]:
        """All answers; where rclpy cannot tell that the overlay hears the classifier, from the first that it heard."""
        tells = hasattr(Subscription, "get_publisher_count")  # not on Humble and Jazzy
        first = min(scenes) if tells else min(overlays, default=0)
        return {stamp for stamp in scenes if stamp >= first}

    graph.until(lambda: set(overlays) == to_draw(), "all overlays")
    assert len(overlays) > len(scenes) / 2  # what is missed is the first moment

    pairs = {pair.stamp_ns: pair for pair in read_pairs(bag)}
    assert set(scenes) <= set(pairs)  # the original stamps
    for stamp, scene in scenes.items():
        assert scene.header.frame_id == harness.FRAME_ID
        assert scene.modality == "rgbd"
        assert scene.bundle_id == bundle_id
        assert scene.label == scene.labels[0]
        assert sum(scene.scores) == pytest.approx(1.0, abs=1e-5)
        if stamp not in to_draw():
            continue
        overlay = overlays[stamp]
        assert (overlay.encoding, overlay.width, overlay.height) == ("rgb8", 320, 240)
        assert overlay.header == scene.header
        changed = (decode_rgb(overlay) != pairs[stamp].rgb).any(axis=2)
        assert 0.02 < changed.mean() < 0.9  # drawn upon, and still the picture
    topics = dict(graph.probe.get_topic_names_and_types())
    assert (f"/{NODE}/classification" in topics) == (vision_types() is not None)
    graph.until(lambda: markers, "a marker")
    assert markers[-1].type == Marker.TEXT_VIEW_FACING
    assert markers[-1].header.frame_id == harness.FRAME_ID


def test_a_slow_student_answers_the_newest_and_counts_the_rest(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle", size_px=96, convolutions=12)
    bag = harness.write_bag(tmp_path / "bag", frames=60, hz=60)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE)
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=200)
    graph.resume_player(*listening(stats))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: stats().get("pairs") == "60" and accounted(stats), "60 pairs to be dealt with")
    counts = stats()
    assert int(counts["superseded"]) > 0
    assert int(counts["answered"]) + int(counts["superseded"]) == 60
    graph.until(lambda: len(scenes) == int(counts["answered"]), "the answers")
    times = [stamp_ns(scene) for scene in scenes]
    assert times == sorted(times)
    assert times[-1] == harness.START_NS + round(59e9 / 60)  # the newest is never the one left out


def test_one_stream_is_enough_when_the_other_stops(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=65, hz=20, without_depth=range(15, 65))
    modalities = {}
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda m: modalities.__setitem__(stamp_ns(m), m.modality))
    stats = graph.watch_stats(f"{NODE}/stats")
    # Longer than a loaded machine stands still.
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=1.0, **harness.RELIABLE)
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=100)
    graph.resume_player(*listening(stats))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: stats().get("received_rgb") == "65" and accounted(stats), "65 images to be dealt with")
    counts = stats()
    assert int(counts["pairs"]) == 15
    assert set(unaccounted(stats).values()) == {0}
    alone = int(counts["rgb_alone"])
    # 50 images without depth; those of the first second wait for it in vain: 21, or fewer where the player runs late.
    assert 10 <= alone <= 49
    assert int(counts["answered"]) + int(counts["superseded"]) == 15 + alone
    graph.until(lambda: len(modalities) == int(counts["answered"]), "all answers")
    ordered = [modalities[stamp] for stamp in sorted(modalities)]
    assert ordered[0] == "rgbd"
    assert ordered[-1] == "rgb"


def test_labels_and_bundles_change_live(graph, tmp_path):
    first = harness.write_test_bundle(tmp_path / "first")
    second = harness.write_test_bundle(tmp_path / "second", seed=1, labels=(*harness.LABELS, "hallway"))
    (tmp_path / "broken").mkdir()
    for file in (tmp_path / "second").iterdir():
        (tmp_path / "broken" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken/student.onnx").write_bytes(b"not a network")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE)  # without a bundle
    graph.start_player(bag, loop=True, wait_rgb_subscribers=1, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats))

    def next_scene(condition, what):
        count = len(scenes)
        graph.until(lambda: any(condition(scene) for scene in scenes[count:]), what)
        return next(scene for scene in scenes[count:] if condition(scene))

    # No bundle: said, and labels are refused.
    graph.until(lambda: int(stats().get("failed", 0)) > 0, "frames without a bundle")
    refused = graph.call(SetLabels, f"{NODE}/set_labels", labels=["kitchen"])
    assert not refused.ok
    assert "no bundle" in refused.message
    assert not graph.call(LoadBundle, f"{NODE}/load_bundle", path="").ok

    loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "first"))
    assert (loaded.ok, loaded.bundle_id) == (True, first)
    scene = next_scene(lambda s: s.bundle_id == first, "an answer of the first bundle")
    assert set(scene.labels) == set(harness.LABELS)

    # Known words at once; unknown ones are named and nothing changes.
    change = graph.call(SetLabels, f"{NODE}/set_labels", labels=["Office", "kitchen"])
    assert change.ok
    assert list(change.labels) == ["office", "kitchen"]
    scene = next_scene(lambda s: s.label_set_version == change.version, "an answer with the new label set")
    assert set(scene.labels) == {"office", "kitchen"}
    refused = graph.call(SetLabels, f"{NODE}/set_labels", labels=["office", "spaceship"])
    assert not refused.ok
    assert list(refused.unknown) == ["spaceship"]
    assert list(refused.labels) == ["office", "kitchen"]
    everything = graph.call(SetLabels, f"{NODE}/set_labels", labels=[])
    assert everything.ok
    assert set(everything.labels) == set(harness.LABELS)

    # A damaged bundle is refused with the reason and the old one goes on.
    refused = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "broken"))
    assert not refused.ok
    assert refused.bundle_id == first
    assert "SHA-256" in refused.message
    next_scene(lambda s: s.bundle_id == first, "an answer of the first bundle after the refusal")

    # Of two bundles the one that was meant; where another one lies there, the old one goes on.
    refused = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "second"), bundle_id=first)
    assert (refused.ok, refused.bundle_id) == (False, first)
    assert f"holds bundle {second}, not {first}, which was asked for" in refused.message
    swapped = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "second"), bundle_id=second)
    assert (swapped.ok, swapped.bundle_id) == (True, second)
    scene = next_scene(lambda s: s.bundle_id == second, "an answer of the second bundle")
    assert set(scene.labels) == {*harness.LABELS, "hallway"}

    # "All names" was chosen, and holds for a bundle that comes with fewer of its own.
    third = write_colour_bundle(tmp_path / "third", labels=["blue"]).bundle_id
    assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "third")).ok
    scene = next_scene(lambda s: s.bundle_id == third, "an answer of the third bundle")
    assert set(scene.labels) == {"red", "green", "blue"}
    graph.call(Trigger, "bag_player/pause")
    assert int(stats()["errors"]) == 0


def test_a_classifier_that_stays_tells_why_its_bundle_was_refused_and_goes_on_with_a_good_one(graph, tmp_path):
    """As launch files start it."""
    said = graph.watch(DiagnosticStatus, f"{NODE}/stats")
    node = graph.start(NODE, bundle=str(tmp_path / "bundle"), stay_when_refused=True)
    graph.until(lambda: said() and said().message, "the reason")
    assert said().level == DiagnosticStatus.ERROR
    assert said().message.startswith("unconfigured; ")
    assert str(tmp_path / "bundle") in said().message

    harness.write_test_bundle(tmp_path / "bundle")
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert graph.call(ChangeState, f"{NODE}/change_state", transition=Transition(id=transition)).success
    graph.until(lambda: {pair.key: pair.value for pair in said().values}["state"] == "active", "an active classifier")
    assert node.stop() == 0


def test_a_classifier_with_a_bad_bundle_does_not_start(graph, tmp_path):
    node = graph.start(NODE, bundle=str(tmp_path))
    other = graph.start(NODE, use_rgb=False, use_depth=False)
    harness.write_test_bundle(tmp_path / "bundle")
    third = graph.start(NODE, bundle=str(tmp_path / "bundle"), providers=["WarpDriveExecutionProvider"])
    assert node.wait() == 2
    assert "is not a student bundle" in node.output()
    assert third.wait() == 2
    assert "WarpDriveExecutionProvider is not available: choose among" in third.output()
    assert other.wait() == 2
    assert "at least one" in other.output()


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_the_engine_is_a_parameter_and_said_in_the_statistics(graph, tmp_path):
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"), engine="openvino", threads=2)
    graph.until(lambda: stats().get("bundle_id") == bundle_id, "the bundle")
    assert [stats()[key] for key in ("engine", "provider", "threads")] == ["openvino", "CPU", "2"]
    unknown = graph.start(NODE, engine="abacus")
    assert unknown.wait() == 2
    assert "one of onnxruntime, openvino" in unknown.output()


def test_damaged_images_are_counted_and_the_rest_goes_on(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    publisher = graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("reliable", 10))
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"), use_depth=False)
    graph.until(lambda: publisher.get_subscription_count() == 1, "the classifier")
    for hearer in ("scene_subscribers", "publishers_rgb"):
        graph.wait_for_hearers(stats, hearer)
    bad = Image(width=64, height=48, encoding="rgb8", step=1)
    bad.header.frame_id = "camera"
    publisher.publish(bad)
    graph.until(lambda: stats()["failed"] == "1", "the failure to be counted")
    graph.until(lambda: "step 1" in stats().get("last_error", ""), "the reason")
    rgb = next(iter(read_pairs(harness.write_bag(tmp_path / "bag", frames=1)))).rgb
    publisher.publish(cv2_to_imgmsg(rgb, "rgb8"))
    graph.until(lambda: len(scenes) == 1, "the answer to a good image")
    assert scenes[0].modality == "rgb"


def test_a_depth_image_that_is_none_takes_no_answer_away(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    scenes, qos = [], stream_qos("reliable", 10)
    topics = (harness.RGB_TOPIC, harness.DEPTH_TOPIC)
    rgb, depth = (graph.probe.create_publisher(Image, topic, qos) for topic in topics)
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE)
    graph.until(lambda: rgb.get_subscription_count() == depth.get_subscription_count() == 1, "the classifier")
    for hearer in ("scene_subscribers", "publishers_rgb", "publishers_depth"):
        graph.wait_for_hearers(stats, hearer)
    picture = next(iter(read_pairs(harness.write_bag(tmp_path / "bag", frames=1)))).rgb
    rgb.publish(cv2_to_imgmsg(picture, "rgb8"))
    depth.publish(Image(width=8, height=8, encoding="mono8", step=8, data=bytes(64)))
    graph.until(lambda: len(scenes) == 1, "the answer from RGB")
    assert scenes[0].modality == "rgb"
    graph.until(lambda: stats()["answered"] == "1", "the counts")
    assert [stats()[key] for key in ("pairs", "failed", "broken_rgb", "broken_depth")] == ["1", "0", "0", "1"]
    assert f"ImageFormatError: {harness.DEPTH_TOPIC}: " in stats()["last_error"]
