"""What room_mapper does with frames as they come: poses, depth, words, the map and the disk."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import Manifest
from edgevl_core.bundle.signing import new_key, sign_bundle
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog import types
from edgevl_core.pairlog.place_messages import pose_msg, stand_of
from edgevl_core.room_map.kept import KeptMap, LabelSet, Sight
from edgevl_core.room_map.live import Account, Awaiting, LiveCamera, Placed, RecentDepth
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Stand
from edgevl_core.room_map.words import open_dictionary
from tests.core.room_map.homes import CAMERA, two_rooms
from tests.core.tiny import SIZE_PX, colour_bank, write_colour_bundle

pytestmark = pytest.mark.unit
S = 1_000_000_000
RED, GREEN, BLUE = colour_bank().vectors


def test_a_frame_waits_for_the_pose_of_its_moment_and_not_for_ever() -> None:
    track = LiveTrack()
    frames = Awaiting[str](lambda: track.newest_ns, patience_s=0.5)
    frames.put(10 * S, "early", now_s=0.0)
    frames.put(11 * S, "late", now_s=1.0)
    assert frames.ready(0.4) == []
    track.add(9 * S + S // 2, (0.0, 0.0, 0.0))
    track.add(10 * S + S // 2, (1.0, 2.0, 1.0))
    assert frames.ready(1.0) == [(10 * S, "early")]
    assert frames.ready(1.4) == []
    assert frames.ready(1.5) == [(11 * S, "late")]
    assert frames.ready(9.9) == []
    assert track.at(10 * S) == Stand(0.5, 1.0, 0.5)
    assert track.at(11 * S) == Stand(1.0, 2.0, 1.0)  # half a second old at most
    assert track.at(12 * S) is None


def test_a_pose_that_jumps_tells_nothing_of_the_time_between() -> None:
    track = LiveTrack()
    for stamp_ns, x in ((0, 0.0), (S // 5, 5.0), (2 * S // 5, 5.1)):
        track.add(stamp_ns, (x, 0.0, 0.0))
    assert track.at(S // 10) is None
    assert track.at(S // 5) == Stand(5.0, 0.0, 0.0)
    between = track.at(3 * S // 10)
    assert between is not None
    assert between.x == pytest.approx(5.05)


def test_a_clock_that_is_set_back_begins_a_new_track() -> None:
    track = LiveTrack()
    track.add(100 * S, (1.0, 1.0, 0.0))
    track.add(100 * S - S // 10, (0.9, 1.0, 0.0))  # one that came late
    assert track.at(100 * S - S // 10) == Stand(0.9, 1.0, 0.0)
    track.add(5 * S, (7.0, 7.0, 0.0))
    assert track.newest_ns == 5 * S
    assert track.at(100 * S) is None
    for second in range(6, 60):
        track.add(second * S, (7.0, 7.0, 0.0))
    assert track.at(20 * S) is None  # the last ten seconds are kept


def test_a_camera_is_where_it_is_mounted() -> None:
    at = Stand(1.0, 2.0, math.pi / 2).of_camera(Stand(0.3, 0.1, -math.pi / 2))
    np.testing.assert_allclose([at.x, at.y, at.yaw], [0.9, 2.3, 0.0], atol=1e-12)


def test_a_pose_whose_quaternion_was_never_filled_in_has_no_yaw() -> None:
    message = pose_msg(1.0, 2.0, 0.0, 0.5, 0, "map")
    assert stand_of(message) == pytest.approx((1.0, 2.0, 0.5))
    message.pose.orientation.w = message.pose.orientation.z = 0.0
    assert stand_of(message)[:2] == (1.0, 2.0)
    assert math.isnan(stand_of(message)[2])


def test_depth_is_found_by_its_stamp() -> None:
    depth = RecentDepth(3, max_skew_ns=20)
    assert (depth.take(0), depth.newest_ns) == (None, -1)
    for stamp_ns in (100, 200, 300, 400):
        depth.put(stamp_ns, bytes([stamp_ns // 100]))
    assert depth.take(100) is None  # four came, three are kept
    assert depth.take(215) == b"\2"
    assert depth.take(221) is None
    assert depth.take(400) == b"\4"
    assert depth.take(215) is None  # let go with the frame after it


def test_every_frame_is_accounted_for() -> None:
    account = Account()
    for reason in ("", "no pose", "no pose", "no map"):
        account.receive()
        account.settle(reason)
    account.receive()
    assert account.counts() == ({"received": 5, "used": 1, "waiting": 1}, {"no pose": 2, "no map": 1})


# -- the kept map --------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_colour_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def seen(bundle: Path, vector: np.ndarray, **changes: object) -> Sight:
    manifest = open_dictionary(bundle).manifest
    return replace(Sight(vector, 1.0, True, manifest.bundle_id, str(bundle)), **changes)


def drive(kept: KeptMap, bundle: Path) -> None:
    """Red on the left, blue on the right."""
    for vector, x in ((RED, 2.0), (BLUE, 6.5)):
        for number in range(6):
            depth_mm = np.full((60, 80), 1200, np.uint16)
            stand = Stand(x, 1.7, number * math.pi / 3)
            assert kept.add(seen(bundle, vector), stand, lambda depth=depth_mm: depth, CAMERA) == ""


def names(kept: KeptMap) -> list[str]:
    return [room.label for room in kept.rooms.rooms()]


def test_the_words_are_those_of_the_bundle_that_saw_the_frames(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    drive(kept, bundle)
    assert names(kept) == ["red", "blue"]
    manifest = open_dictionary(bundle).manifest
    kept.use_labels(LabelSet(manifest.bundle_id, ("green", "blue"), 4))
    assert (names(kept)[1], kept.version) == ("blue", 4)
    assert names(kept)[0] != "red"
    assert [room.label for room, _ in kept.find("crimson")][
        1
    ] == "blue"  # a synonym of red, which no room is called now
    assert kept.find("crimson")[0][0].pose_m[0] < 4.2


def test_a_turned_camera_shows_what_an_upright_one_would(tmp_path: Path, bundle: Path) -> None:
    write_colour_bundle(tmp_path / "turned", preprocess=Preprocess(size_px=SIZE_PX, rotation_deg=180))
    depth_mm = np.full((60, 80), 500, np.uint16)
    depth_mm[:, 40:] = 2500  # far on its right
    shown = []
    for made, image in ((bundle, depth_mm), (tmp_path / "turned", np.rot90(depth_mm, 2))):
        kept = KeptMap(tmp_path / f"kept of {made.name}")
        kept.set_map(two_rooms())
        assert kept.add(seen(made, RED), Stand(2.0, 1.7, 0.0), lambda depth=image: depth, CAMERA) == ""
        shown.append(kept.rooms.evidence.weight)
    np.testing.assert_array_equal(*shown)


def test_a_name_beside_its_synonym_is_refused_and_the_words_stay(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    drive(kept, bundle)
    with pytest.raises(UserError, match="labels 'red', 'Crimson' are one label of the bundle, 'red': every label may"):
        kept.use_labels(LabelSet(kept.bundle_id, ("red", "blue", "Crimson"), 4))
    assert (names(kept), kept.version) == (["red", "blue"], 0)
    assert len(kept.find("red")) == 2


def test_labels_that_came_before_the_first_frame_hold(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    kept.use_labels(LabelSet(open_dictionary(bundle).manifest.bundle_id, ("blue", "red"), 3))
    drive(kept, bundle)
    assert (kept.version, kept.rooms.words.names) == (3, ("blue", "red"))


@pytest.mark.parametrize(
    ("changes", "stand", "reason"),
    [
        ({}, None, "no pose"),
        ({"known": False}, Stand(2.0, 1.7, 0.0), "nothing to see"),
        ({"bundle_id": "0" * 64}, Stand(2.0, 1.7, 0.0), "another bundle"),
        ({"embedding": np.ones(4, np.float32)}, Stand(2.0, 1.7, 0.0), "another bundle"),
        ({"embedding": np.full(3, np.nan, np.float32)}, Stand(2.0, 1.7, 0.0), "no embedding"),
    ],
)
def test_what_cannot_be_placed_changes_nothing(
    changes: dict[str, object], stand: Stand | None, reason: str, tmp_path: Path, bundle: Path
) -> None:
    kept = KeptMap(tmp_path / "kept")
    assert kept.add(seen(bundle, RED), Stand(2.0, 1.7, 0.0), lambda: None, None) == "no map"
    kept.set_map(two_rooms())
    drive(kept, bundle)
    before, kept.unsaved = kept.rooms.evidence.total.copy(), False
    assert kept.add(seen(bundle, RED, **changes), stand, lambda: np.ones((60, 80), np.float32), CAMERA) == reason
    np.testing.assert_array_equal(kept.rooms.evidence.total, before)
    assert not kept.unsaved
    assert ("holds bundle" in kept.problem) == ("bundle_id" in changes)


def test_a_restart_goes_on_where_it_ended(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    drive(kept, bundle)
    kept.rename(1, " Anna's  lab ")
    kept.save()
    again = KeptMap(tmp_path / "kept")
    again.use(open_dictionary(bundle))
    with pytest.raises(UserError, match="none yet"):
        again.rooms.rooms()
    again.set_map(two_rooms(resolution_m=0.1))
    assert names(again) == ["Anna's lab", "blue"]
    assert again.find("anna's lab")[0][0].id == 1
    again.rename(1, "")
    assert names(again) == ["red", "blue"]
    again.load()
    assert names(again) == ["Anna's lab", "blue"]


def test_a_map_that_is_published_again_unchanged_is_no_change(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    drive(kept, bundle)
    kept.changed = False
    kept.set_map(two_rooms())
    assert not kept.changed
    kept.set_map(two_rooms(door_m=0.8))
    assert kept.changed


def test_words_of_another_teacher_are_refused_and_nothing_is_lost(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    kept.set_map(two_rooms())
    drive(kept, bundle)
    kept.save()
    golden = np.full((2, 3, SIZE_PX, SIZE_PX), 200, np.uint8)  # another bundle_id
    write_colour_bundle(tmp_path / "other", teacher="open_clip:other", golden_pixels=golden)
    other = open_dictionary(tmp_path / "other")
    with pytest.raises(UserError, match="teacher open_clip:other"):
        kept.use(other)
    assert kept.add(seen(tmp_path / "other", RED), Stand(2.0, 1.7, 0.0), lambda: None, None) == "another bundle"
    assert names(kept) == ["red", "blue"]
    with pytest.raises(UserError, match="of another teacher"):
        KeptMap(tmp_path / "kept").use(other)


def test_a_word_that_nobody_knows_is_refused_with_those_that_are_known(tmp_path: Path, bundle: Path) -> None:
    kept = KeptMap(tmp_path / "kept")
    with pytest.raises(UserError, match="no words"):
        kept.find("red")
    kept.use(open_dictionary(bundle))
    kept.set_map(two_rooms())
    with pytest.raises(
        UserError, match="'hangar': no room has this name, and the bundle knows no such word; it knows red"
    ):
        kept.find("hangar")
    with pytest.raises(UserError, match="blank"):
        kept.find(" ")
    assert kept.find("red") == []


def test_a_dictionary_is_as_careful_as_a_bundle(bundle: Path) -> None:
    dictionary = open_dictionary(bundle)
    assert isinstance(dictionary.manifest, Manifest)
    assert isinstance(dictionary.bank, LabelBank)
    np.testing.assert_array_equal(dictionary.vector("Crimson"), RED)
    assert dictionary.vector("pink") is None
    (bundle / "label_bank.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="SHA-256"):
        open_dictionary(bundle)


def test_a_frame_of_a_bundle_that_nobody_trusted_signed_names_no_room(tmp_path: Path, bundle: Path) -> None:
    public = new_key(tmp_path / "key.pem")
    kept = KeptMap(tmp_path / "kept", [public])
    kept.set_map(two_rooms())
    assert kept.add(seen(bundle, RED), Stand(2.0, 1.7, 0.0), lambda: None, None) == "another bundle"
    assert "is not signed" in kept.problem
    assert not kept.ready
    sign_bundle(bundle, tmp_path / "key.pem")
    again = KeptMap(tmp_path / "kept", [public])
    again.set_map(two_rooms())
    drive(again, bundle)
    assert (again.problem, names(again)) == ("", ["red", "blue"])


def test_a_clock_that_stands_still_fills_no_memory():
    track = LiveTrack()
    for number in range(1000):
        track.add(5 * S, (float(number), 0.0, 0.0))
    assert track.at(5 * S) == Stand(999.0, 0.0, 0.0)
    assert len(track._poses) == 1


def test_the_newest_calibrated_camera_counts():
    camera = LiveCamera()

    def info(focal_px: float, width: int, height: int, stamp_ns: int = 1) -> bytes:
        return types.serialize(types.camera_info_msg(width, height, focal_px, focal_px, 319.5, 239.5, stamp_ns, "cam"))

    camera.put(info(0.0, 640, 480))
    assert camera.intrinsics is None
    camera.put(info(320.0, 640, 480))
    known = camera.intrinsics
    assert known.fx == 320.0
    camera.put(info(320.0, 640, 480, stamp_ns=2))
    assert camera.intrinsics is known  # nothing but the stamp is new
    camera.put(info(920.0, 1280, 720))  # the driver has begun anew in another mode
    assert camera.intrinsics.fx == 920.0
    camera.put(info(0.0, 1280, 720))
    assert camera.intrinsics.fx == 920.0


def test_frames_that_come_without_a_place_are_told_from_none_that_come():
    frames = Placed()
    assert frames.none_for_s(100.0) == 0.0
    for number in range(20):
        frames.see(100.0 + number, placed=number < 8)
    assert frames.none_for_s(119.0) == 12.0  # since the last that had a place
    assert frames.none_for_s(130.0) == 0.0  # none come any more
    frames.see(200.0, placed=False)
    assert frames.none_for_s(201.0) == 0.0  # the first after a pause
    frames.see(204.0, placed=False)
    assert frames.none_for_s(204.0) == 4.0
