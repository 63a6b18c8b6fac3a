"""``edgevl classify``: what a student says of bags and pictures."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import pytest

from edgevl_core.base.resources import resource
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from tests.cli.command import edgevl

pytestmark = pytest.mark.unit
BUNDLE, LIT, DARK = resource("quick/bundle"), resource("quick/lit"), resource("quick/dark")


def classify(*arguments: object) -> CompletedProcess[str]:
    return edgevl("classify", *arguments, "--bundle", BUNDLE)


def test_every_pair_of_every_bag_is_named_as_the_classifier_does(tmp_path: Path) -> None:
    done = classify(LIT, DARK, "--json", "-", "--sheet", tmp_path / "new" / "sheet.png")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    classifier = Classifier(load_bundle(BUNDLE))
    expected = [classifier.classify(pair.rgb, pair.depth) for bag in (LIT, DARK) for pair in read_pairs(bag)]
    assert [frame["label"] for frame in told["frames"]] == [scene.label for scene in expected]
    assert {frame["modality"] for frame in told["frames"][40:]} == {"depth"}  # lights out
    assert (len(expected), told["lost"]) == (80, [])
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"))
    assert sheet.shape[1] > 6 * 160


def test_pictures_are_named_by_rgb_alone_and_by_the_words_that_are_asked_for(tmp_path: Path) -> None:
    pair = next(iter(read_pairs(LIT)))
    files = [tmp_path / name for name in ("a.png", "b.JPG")]
    for file in files:
        cv2.imwrite(str(file), pair.rgb[..., ::-1])
    done = classify(*files, "--words", "Kitchen, hallway", "--json", tmp_path / "told.json")
    assert done.returncode == 0, done.stderr
    frames = json.loads((tmp_path / "told.json").read_text())["frames"]
    assert [(frame["name"], frame["modality"], set(frame["scores"])) for frame in frames] == [
        (file.name, "rgb", {"kitchen", "hallway"}) for file in files
    ]
    assert all(file.name in done.stdout for file in files)


def test_what_cannot_be_named_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for arguments, said in (
        ((tmp_path / "none.png",), "does not exist"),
        ((tmp_path / "text.png",), "is no picture"),
        ((tmp_path,), "is no bag"),
        ((LIT, DARK, LIT), "bags or pictures given twice"),
        ((LIT, "--words", "castle"), "unknown labels: castle"),
        ((LIT, "--sheet", tmp_path / "a.gif"), "ends in .png"),
        ((LIT, "--sheet", tmp_path / "text.png" / "a.png"), "text.png is no directory that can be written to"),
        ((LIT, "--json", tmp_path / "text.png" / "a"), "text.png is no directory that can be written to"),
        ((LIT, "--json", tmp_path), "this is a directory"),
    ):
        done = classify(*arguments)
        assert (done.returncode, done.stderr.strip().count("\n")) == (2, 0), done.stderr
        assert said in done.stderr
