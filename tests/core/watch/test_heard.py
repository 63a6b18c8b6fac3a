"""What of the nodes' words still holds: rates, silence, and what a node said that speaks no more."""

import pytest

from edgevl_core.watch.heard import SILENT_S, Heard
from edgevl_core.watch.seen import Adaptation, Log, Scene

pytestmark = pytest.mark.unit
SCENE = Scene("kitchen", 0.9, True, "rgbd", {"kitchen": 0.9, "office": 0.1}, 12.0, "b1")
LOG = Log("logging", 7, {"blurred": 2}, 1000, 0.5, 10**9, "/data/log", {})
STATS = {"rate_rgb_hz": "9.5", "rate_depth_hz": "0", "superseded": "3", "failed": "0", "idle": "8", "rgb_alone": "4"}


def test_what_was_said_a_moment_ago_is_seen() -> None:
    heard = Heard(100.0)
    heard.stats("scene_classifier", "warn", "no bundle loaded", {**STATS, "depth_late": "2"}, 101.0)
    heard.stats("pair_logger", "ok", "logging", {"rate_rgb_hz": "1"}, 101.5)
    heard.log(LOG)
    for tenth in range(11):
        heard.scene(SCENE, 101.0 + tenth / 10)
    seen = heard.seen(102.0)
    assert seen.scene is not None
    assert (seen.scene.label, seen.scene.hz, seen.scene.age_s) == ("kitchen", pytest.approx(10.0), pytest.approx(0.0))
    assert seen.cameras == {"rgb": 9.5, "depth": 0.0}  # the classifier's, not the logger's
    assert seen.frames_dropped == {"superseded": 3, "depth late": 2}  # not those that nobody waited for
    assert seen.nodes["scene_classifier"].level == "warn"
    assert seen.log == LOG
    assert seen.not_heard == {}  # too early to say


def test_silence_is_said_after_a_while() -> None:
    heard = Heard(0.0)
    heard.stats("pair_logger", "ok", "logging", {}, 0.5)
    heard.scene(SCENE, 0.5)
    heard.log(LOG)
    heard.adaptation(Adaptation("running", "stage1", 0.5, 60.0, "", ""))
    heard.rooms(("kitchen",))
    seen = heard.seen(12.0)
    assert set(seen.not_heard) == {"pair_logger", "scene_classifier", "room_mapper", "adaptation_manager"}
    assert seen.not_heard["pair_logger"] == "pair_logger is silent for 12 s"
    assert seen.not_heard["scene_classifier"] == "no scene_classifier heard in 12 s"
    # A latched word of a node that is gone is no news of now.
    assert (seen.scene, seen.log, seen.adaptation, seen.rooms) == (None, None, None, None)
    heard.stats("pair_logger", "ok", "logging", {}, 12.0 + SILENT_S)
    assert heard.seen(12.0 + SILENT_S).log == LOG


def test_the_logger_tells_of_the_cameras_where_there_is_no_classifier() -> None:
    heard = Heard(0.0)
    heard.stats("pair_logger", "ok", "", {"rate_rgb_hz": "30", "rate_scene_hz": "1"}, 0.0)
    assert heard.seen(1.0).cameras == {"rgb": 30.0}


def test_the_room_where_the_camera_is() -> None:
    heard = Heard(0.0)
    heard.rooms(("kitchen", "office"))
    heard.stats("room_mapper", "ok", "", {"room": "office"}, 0.0)
    rooms = heard.seen(1.0).rooms
    assert rooms is not None
    assert (rooms.names, rooms.here) == (("kitchen", "office"), "office")
