"""What a bag or a bundle calls itself reaches the terminal as text, never as what a terminal obeys."""

import json
import sqlite3
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.vocabulary import check_words
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import IMAGE, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from tests.cli.command import edgevl
from tests.core.bags import DEPTH_TOPIC, RGB_TOPIC, depth_image, rgb_image
from tests.core.tiny import reseal, write_colour_bundle

pytestmark = pytest.mark.unit
ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[31mred\u202e\u2028"


def bag_of(path: Path, topic: str) -> Path:
    """One whole message and a row that holds none, in a topic of this name."""
    path.mkdir()
    with sqlite3.connect(path / "bag_0.db3") as file:
        file.executescript(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);"
            "INSERT INTO messages VALUES (1, 1, 5, x'00010000'), (2, 1, 'x', x'00010000');"
        )
        file.execute("INSERT INTO topics VALUES (1, ?, 'std_msgs/msg/String', 'cdr')", (topic,))
    file.close()
    return path


def shown(*words: object) -> str:
    done = edgevl(*words)
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))
    return done.stdout


def test_names_of_topics(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", f"/a{ESCAPES}")
    assert "/a ]0;title [2J [31mred" in shown("log", "info", bag)
    assert "lost: bag_0.db3" in shown("log", "recover", bag, "--out", tmp_path / "saved")
    with BagReader(tmp_path / "saved") as reader:
        assert list(reader.topics) == ["/a ]0;title [2J [31mred"]


def test_frames_of_a_bag_that_is_judged(tmp_path: Path) -> None:
    write_colour_bundle(tmp_path / "bundle")
    with BagWriter(tmp_path / "bag") as bag:
        for topic, frame, pixels, encoding in (
            (RGB_TOPIC, f"camera{ESCAPES}", rgb_image(0), "rgb8"),
            (DEPTH_TOPIC, "depth", depth_image(0), "16UC1"),
        ):
            bag.add_topic(topic, IMAGE)
            bag.write(topic, serialize(image_msg(pixels, encoding, 5, frame)), 5)
    done = edgevl("evaluate", tmp_path / "bundle", tmp_path / "bag")
    assert "depth may not be registered to RGB" in done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))


def test_what_a_bundle_says_of_itself(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    write_colour_bundle(bundle)
    content = json.loads((bundle / "manifest.json").read_text())
    told = {**content["provenance"], "created": ESCAPES, "software": {f"edgevl{ESCAPES}": "1"}}
    reseal(bundle, provenance=told, metrics={"training": {"decision": f"deploy{ESCAPES}"}})
    said = shown("bundle", "show", bundle)
    assert "decision when it was made: deploy ]0;title" in said
    assert "[31mred" in said


@pytest.mark.parametrize("word", ["kitch\x1b[2Jen", "a\x07", "a\u202eb", "a\u2066b", "\x9b"])
def test_a_word_that_a_terminal_would_obey_is_no_label(word: str) -> None:
    with pytest.raises(UserError, match="text without control characters") as caught:
        check_words(["hall", word], 8)
    assert str(caught.value).isprintable()
    assert check_words(["caf\u00e9", "\u0645\u06cc\u200c\u062e"], 8) == ["caf\u00e9", "\u0645\u06cc\u200c\u062e"]
