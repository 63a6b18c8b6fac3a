"""``edgevl watch`` without a robot: what is seen is drawn, on any width, and said in plain lines."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from edgevl_cli.watch.rows import nothing_heard, rows
from edgevl_cli.watch.screen import screen
from edgevl_cli.watch.show import PlainLines
from edgevl_core.watch.seen import Adaptation, Log, Node, Rooms, Scene, Seen, as_json

pytestmark = pytest.mark.unit
LONG = "/data/robots/blue/pair_logs/2026-11-27T02-40-00"
SEEN = Seen(
    watched_s=9.0,
    nodes={
        "scene_classifier": Node("ok", "classifying", 0.2),
        "pair_logger": Node("warn", "camera/depth/image_raw: silent for 4 s", 0.3),
    },
    not_heard={"room_mapper": "no room_mapper heard in 9 s"},
    scene=Scene("kitchen", 0.93, True, "rgbd", {"kitchen": 0.93, "bathroom": 0.04}, 12.4, "b1", 0.1, 9.8),
    cameras={"rgb": 10.0, "depth": 0.0},
    frames_dropped={"superseded": 3},
    log=Log("logging", 132, {"too similar": 40, "blurred": 0}, 52_000_000, 1.25, 34 * 10**9, LONG, {"kitchen": 90}),
    adaptation=Adaptation("running", "stage1", 0.42, 720.0, "epoch 3 of 8", ""),
    rooms=Rooms(("kitchen", "office"), "kitchen"),
)


def drawn(seen: Seen, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, height=40).print(screen(seen, "edgevl watch  12:00:00"))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_a_screen_shows_all_of_it(width: int) -> None:
    lines = drawn(SEEN, width).splitlines()
    assert {len(line) for line in lines} == {width}
    assert len(lines) <= 24
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for part in (
        *("kitchen", "93%", "RGB + depth", "9.8 a second", "12 ms", "bathroom", "4%"),
        *("RGB 10.0 Hz, depth 0.0 Hz", "superseded 3", "132 pairs kept", "34.00 GB free", "too similar 40"),
        *("stage1 42%, 12.0 min left: epoch 3 of 8", "in the kitchen; 2 rooms: kitchen, office"),
        *("silent for 4 s", "no room_mapper heard in 9 s"),
    ):
        assert part in text, part
    assert "blurred" not in text


def test_nothing_heard_is_a_screen_too() -> None:
    assert "nothing heard yet" in drawn(Seen(watched_s=1.0), 80)


def test_an_unknown_scene_says_so() -> None:
    assert SEEN.scene is not None
    said = rows(replace(SEEN, scene=replace(SEEN.scene, known=False)))[0].text
    assert said.startswith("unknown, most like kitchen 0.93 from RGB + depth")


def test_plain_lines_say_what_is_wrong_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    lines(SEEN)
    first = capsys.readouterr().out.splitlines()
    assert first[0] == "! pair_logger: camera/depth/image_raw: silent for 4 s"
    assert first[1] == "no room_mapper heard in 9 s"
    assert len(first) == 3
    assert "scene: kitchen 0.93 from RGB + depth" in first[2]
    lines(replace(SEEN, not_heard={"room_mapper": "no room_mapper heard in 10 s"}))
    assert len(capsys.readouterr().out.splitlines()) == 1
    lines(replace(SEEN, not_heard={}))
    lines(SEEN)
    assert "no room_mapper heard" in capsys.readouterr().out  # it was there in between


def test_where_no_node_speaks_the_line_says_what_to_do() -> None:
    assert nothing_heard(SEEN) == ""
    assert "ROS_DOMAIN_ID" in nothing_heard(Seen(watched_s=5.0))
    assert "--namespace /blue" in nothing_heard(Seen(watched_s=5.0, elsewhere=("/blue",)))


def test_what_is_seen_is_json() -> None:
    found = json.loads(json.dumps(as_json(SEEN)))
    assert found["scene"]["label"] == "kitchen"
    assert found["adaptation"]["eta_s"] == 720.0
    assert found["log"]["dropped"] == {"too similar": 40, "blurred": 0}


def test_no_message_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    wild = replace(SEEN, scene=replace(SEEN.scene, label="\x1b[2Jkitchen\x07"))
    PlainLines()(wild)
    said = capsys.readouterr().out
    assert "?[2Jkitchen?" in said
    assert said.replace("\n", "").isprintable()
