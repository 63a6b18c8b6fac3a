"""``edgevl evaluate`` over a bag of coloured rooms: what is counted, against what, and what is refused."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_cli import training
from edgevl_cli.evaluation_tables import show_evaluation
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.manifest import BagRecord, Provenance
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_core.pairlog.types import image_msg, serialize, truth_msg
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.data.cache import hash_bag
from edgevl_train.evaluation.evaluate import evaluate, evaluate_all
from edgevl_train.evaluation.evaluation_plot import draw, write_plot
from edgevl_train.evaluation.predictors import Reference, bundle_predictor
from tests.core.bags import DEPTH_TOPIC, FRAME, RGB_TOPIC, add_topics, stamp
from tests.core.tiny import colour_bank, colour_image, write_colour_bundle

pytestmark = pytest.mark.unit

# 4 red, 4 green, 4 blue, one red that shows no furniture, two of a room that is no label.
SCENES = [*(["red"] * 4), *(["green"] * 4), *(["blue"] * 4), "red", "blue", "blue"]
ROOMS = [*SCENES[:12], "crimson", "garage", "garage"]  # crimson is a synonym of red


def write_rooms(path: Path, *, truth: bool = True, most_furniture: float = 0.5) -> Path:
    with BagWriter(path) as bag:
        add_topics(bag)
        for number, (colour, room) in enumerate(zip(SCENES, ROOMS, strict=True)):
            at = stamp(number)
            depth = np.full((12, 16), 300 if colour == "red" else 9000, np.uint16)
            bag.write(RGB_TOPIC, serialize(image_msg(colour_image(colour), "rgb8", at, FRAME)), at)
            bag.write(DEPTH_TOPIC, serialize(image_msg(depth, "16UC1", at, FRAME)), at)
            if truth:
                furniture = min(most_furniture, 0.01 if room == "crimson" else 0.5)
                bag.write("truth", serialize(truth_msg(room, "home 1", furniture, at, FRAME)), at)
    return path


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("rooms") / "bag")


@pytest.fixture(scope="module")
def rooms_without_truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("rooms") / "bag", truth=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    write_colour_bundle(path)
    return path


def colour_of(pairs: Sequence[RgbdPair]) -> np.ndarray:
    """A teacher that needs no network: mean colour minus grey, (N, 3), unit."""
    mean = np.stack([pair.rgb.mean((0, 1)) for pair in pairs]).astype(np.float32) - 128
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


TEACHER = Reference(colour_of, colour_bank())


def numbers_of(bundle: Path, bag: Path, teacher: Reference | None = None, **options: object) -> dict:
    return evaluate_all({"it": bundle_predictor(bundle)}, [bag], teacher=teacher, **options)["it"]


def test_figures_against_the_truth(bundle: Path, rooms: Path) -> None:
    numbers = numbers_of(bundle, rooms)
    assert (numbers["samples"], numbers["labelled"], numbers["with_furniture"]) == (15, 13, 12)
    assert numbers["other_rooms"] == {"garage": 2}
    assert numbers["against"] == "truth"
    assert numbers["top1"]["rgb"] == numbers["macro"]["rgb"] == numbers["top1_all_frames"]["rgb"] == 1
    assert numbers["confusion"]["rgb"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert sum(map(sum, numbers["confusion"]["depth"])) == 12
    assert numbers["per_class"]["red"]["n"] == 4
    assert set(numbers["per_class"]["blue"]["precision"]) == {"rgb", "depth", "rgbd"}
    assert numbers["abstention_curve"]["rgb"]["coverage"][-1] == 1
    assert numbers["abstention_curve"]["rgb"]["area"] == 1
    assert numbers["angles"]["rgb"]["right"]["mean"] < numbers["angles"]["rgb"]["wrong"]["mean"]
    assert numbers["teacher_agreement"] == {}
    assert numbers["teacher_cosine_of_mean"] is None
    assert json.loads(json.dumps(numbers)) == numbers


def test_without_truth_the_teachers_answers_take_its_place(bundle: Path, rooms_without_truth: Path) -> None:
    numbers = numbers_of(bundle, rooms_without_truth, TEACHER)
    assert (numbers["against"], numbers["labelled"], numbers["top1"]) == ("teacher", 0, {})
    assert numbers["teacher_agreement"]["rgb"] == 1
    assert np.trace(numbers["confusion"]["rgb"]) == 15
    assert numbers["per_class"]["blue"]["n"] == 6
    assert numbers["ece"] == numbers["ece_teacher"]
    assert numbers["angles"]["rgb"]["right"]["mean"] < numbers["angles"]["rgb"]["wrong"]["mean"]
    nothing = numbers_of(bundle, rooms_without_truth)
    assert nothing["against"] is None
    assert set(nothing["abstention"]) == {"rgb", "depth", "rgbd"}


def test_truth_and_teacher_together_give_both_calibration_errors(bundle: Path, rooms: Path) -> None:
    alone, both = numbers_of(bundle, rooms), numbers_of(bundle, rooms, TEACHER)
    assert both["ece"] == alone["ece"]
    assert both["per_class"] == alone["per_class"]
    assert set(both["ece_teacher"]) == {"rgb", "depth", "rgbd"}


def test_mean_cosine_stands_beside_that_of_the_best_constant(bundle: Path, rooms: Path) -> None:
    numbers = numbers_of(bundle, rooms, TEACHER)
    target = colour_of(list(read_pairs(rooms)))
    constant = target.mean(0) / np.linalg.norm(target.mean(0))
    assert numbers["teacher_cosine_of_mean"] == pytest.approx(float((target @ constant).mean()), abs=1e-6)
    assert numbers["teacher_cosine"]["rgb"] > 0.99


def test_a_label_left_out_makes_its_frames_unknown(bundle: Path, rooms: Path) -> None:
    numbers = numbers_of(bundle, rooms, leave_out=["Crimson"])
    assert numbers["labels"] == ["green", "blue"]
    unknown = numbers["unknown"]
    assert unknown["left_out"] == ["red"]
    assert unknown["frames"] == {"known": 8, "unknown": 4}
    assert set(unknown["roc"]) == {"rgb", "depth", "rgbd"}
    # Green and blue lie as far from red: an even guess among two, where the others are sure.
    assert unknown["roc"]["rgb"]["auroc"] == 1
    assert unknown["roc"]["rgb"]["caught_at_10_percent"] == 1
    assert 0 <= unknown["at_threshold"]["rgb"]["caught"] <= 1
    assert numbers["with_furniture"] == 8
    assert "red" not in numbers["other_rooms"]


def test_a_label_left_out_works_on_the_teachers_answers_too(bundle: Path, rooms_without_truth: Path) -> None:
    unknown = numbers_of(bundle, rooms_without_truth, TEACHER, leave_out=["red"])["unknown"]
    assert unknown["frames"] == {"known": 10, "unknown": 5}


def test_retrieval_is_given_beside_chance(bundle: Path, rooms: Path) -> None:
    found = numbers_of(bundle, rooms, TEACHER, retrieval_s=0.35)["retrieval"]
    assert (found["window_s"], found["pairs"]) == (0.35, 15)
    assert found["chance"] == pytest.approx((15 * 7 - 2 * (1 + 2 + 3)) / 15**2)
    assert found["first"]["rgb"] > found["chance"]


def test_each_model_embeds_each_image_once(bundle: Path, rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgevl_train.evaluation.evaluate.BATCH", 4)
    predictor, seen = bundle_predictor(bundle), []

    def count(pairs: Sequence[RgbdPair]) -> object:
        seen.extend(pair.stamp_ns for pair in pairs)
        return predictor.embed(pairs)

    done: list[int] = []
    whole = evaluate_all(
        {"it": replace(predictor, embed=count)}, [rooms], teacher=TEACHER, retrieval_s=1.0, on_progress=done.append
    )
    assert seen == [stamp(number) for number in range(15)]
    assert done == [4, 8, 12, 15]
    monkeypatch.setattr("edgevl_train.evaluation.evaluate.BATCH", 64)
    assert numbers_of(bundle, rooms, TEACHER, retrieval_s=1.0) == whole["it"]


def test_what_is_refused_is_refused_in_one_line(bundle: Path, rooms: Path, rooms_without_truth: Path) -> None:
    wide = replace(colour_bank(), vectors=np.eye(3, 4, dtype=np.float32))
    cases = [
        (rooms, None, {"leave_out": ["pink"]}, "pink: not in the label set"),
        (rooms, None, {"leave_out": ["red", "green"]}, "at least 2"),
        (rooms_without_truth, None, {"leave_out": ["red"]}, "0 frames show it"),
        (rooms, None, {"retrieval_s": 0.5}, "pass --teacher"),
        (rooms, TEACHER, {"retrieval_s": -1.0}, "seconds >= 0"),
        (rooms, Reference(colour_of, colour_bank().select(["red"])), {}, "lacks labels"),
        (rooms, Reference(colour_of, wide), {}, "4 dimensions, the model 3"),
    ]
    for bag, teacher, options, words in cases:
        with pytest.raises(UserError, match=words) as refusal:
            numbers_of(bundle, bag, teacher, **options)
        assert "\n" not in str(refusal.value)
    with pytest.raises(UserError, match="is no model"):
        evaluate(rooms.parent / "nothing", [rooms])
    with pytest.raises(UserError, match=f"bags given twice: {rooms}"):
        evaluate(bundle, [rooms, rooms])


def test_models_of_other_labels_are_compared_by_one_label_file_only(bundle: Path, rooms: Path, tmp_path: Path) -> None:
    """Without one, each would be judged on the frames of its own labels, and the tables said "the same pairs"."""
    two = write_colour_bundle(tmp_path / "two", bank=colour_bank().select(("red", "green")))
    said = rf"--against bundle {two.bundle_id}: its labels are not those of .* \(in one alone: blue\): pass --labels"
    with pytest.raises(UserError, match=said):
        evaluate(bundle, [rooms], against=tmp_path / "two")
    labels = tmp_path / "labels.yaml"
    labels.write_text("templates: ['{}']\nlabels: [{name: green}, {name: crimson}]\n")
    numbers = evaluate(bundle, [rooms], against=tmp_path / "two", labels=labels)
    assert numbers["labels"] == numbers["current"]["labels"] == ["green", "red"]
    assert numbers["with_furniture"] == numbers["current"]["with_furniture"] == 8


def test_a_name_beside_its_synonym_in_a_label_file_is_refused(bundle: Path, rooms: Path, tmp_path: Path) -> None:
    """They are one vector: with two rows of it, half of what is right would count as wrong."""
    file = tmp_path / "labels.yaml"
    file.write_text("labels: [red, green, Crimson]")
    with pytest.raises(UserError, match=r"labels 'red', 'Crimson' are one label of the bundle, 'red': .*; keep one"):
        evaluate(bundle, [rooms], labels=file)
    file.write_text("labels: [Crimson, green]")
    assert evaluate(bundle, [rooms], labels=file)["labels"] == ["red", "green"]


def test_the_command_prints_writes_and_draws(
    bundle: Path, rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    json_file, picture = tmp_path / "numbers.json", tmp_path / "deep" / "picture.png"
    training.evaluate(str(bundle), [rooms], leave_out=["red"], json=json_file, plot=picture)
    shown = capsys.readouterr().out
    for words in ("15 pairs, 2 labels", "garage 2", "against the true rooms", "AUROC", "degrees", "the surest"):
        assert words in shown
    numbers = json.loads(json_file.read_text())
    assert numbers["unknown"]["frames"] == {"known": 8, "unknown": 4}
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.std() > 10  # something is drawn
    with pytest.raises(UserError, match=r"\.png"):
        training.evaluate(str(bundle), [rooms], plot=tmp_path / "picture.pdf")


def test_the_command_says_when_there_is_nothing_to_compare_with(
    bundle: Path, rooms_without_truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.evaluate(str(bundle), [rooms_without_truth])
    assert "no --teacher" in capsys.readouterr().out
    with pytest.raises(UserError, match="nothing to plot"):
        write_plot(numbers_of(bundle, rooms_without_truth), tmp_path / "picture.png")


def test_truth_that_never_says_its_furniture_is_named_with_the_field_and_what_to_set(
    bundle: Path, rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that leaves furniture_fraction as it is made, 0: "no true rooms of these labels" was not so."""
    monkeypatch.setenv("COLUMNS", "400")
    bag = write_rooms(tmp_path / "bag", most_furniture=0.0)
    wanted = (
        "13 true rooms of these labels, all with a furniture_fraction of at most 0, and below 0.05 a frame names no "
        "room: set it in edgevl/SceneTruth to the share of the pixels that show furniture, or to 1 where that is not "
        "known"
    )
    numbers = numbers_of(bundle, bag)
    assert (numbers["labelled"], numbers["with_furniture"], numbers["most_furniture"]) == (13, 0, 0)
    show_evaluation(numbers)
    assert f"{wanted}; no --teacher: nothing to compare with" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"nothing to plot without --teacher: {wanted}"):
        write_plot(numbers, tmp_path / "picture.png")
    with pytest.raises(UserError, match=r"0 show other labels \(8 true rooms .* of at most 0, .*, both are needed"):
        numbers_of(bundle, bag, leave_out=["red"])
    show_evaluation(numbers_of(bundle, bag, TEACHER))
    assert f"{wanted}\n" in capsys.readouterr().out
    both = evaluate_all({"it": bundle_predictor(bundle)}, [rooms, bag])["it"]
    assert (both["labelled"], both["with_furniture"], both["most_furniture"]) == (26, 12, 0.5)
    show_evaluation(both)
    assert "furniture_fraction below 0.05, left aside: 14 of 26" in capsys.readouterr().out


def test_a_bag_that_the_model_was_trained_on_is_named(
    bundle: Path, rooms: Path, rooms_without_truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it lies elsewhere, or is named by its file; for the model to compare with by itself."""
    record = BagRecord(name="bag", sha256=hash_bag(rooms), pairs=15)
    write_colour_bundle(tmp_path / "own", provenance=Provenance(bags=(record,), created="2025-01-01T00:00:00Z"))
    copy = shutil.copytree(rooms, tmp_path / "copy")
    numbers = evaluate(tmp_path / "own", [rooms_without_truth, copy, rooms / "bag_0.mcap"], against=bundle)
    assert numbers["trained_on"] == [str(copy), str(rooms / "bag_0.mcap")]
    assert numbers["current"]["trained_on"] == []
    training.evaluate(str(tmp_path / "own"), [rooms_without_truth, copy], json=tmp_path / "numbers.json")
    shown = " ".join(capsys.readouterr().out.split())
    said = f"note: {numbers['model']} was trained on {copy}: figures there say nothing of other places"
    assert "".join(said.split()) in "".join(shown.split())  # it may be broken anywhere
    assert json.loads((tmp_path / "numbers.json").read_text())["trained_on"] == [str(copy)]
    training.evaluate(str(tmp_path / "own"), [rooms_without_truth])
    assert "was trained on" not in capsys.readouterr().out


def test_a_picture_of_many_labels_and_of_one_is_drawn(bundle: Path, rooms: Path) -> None:
    numbers = numbers_of(bundle, rooms)
    many = [f"place {i}" for i in range(50)]
    row = numbers["per_class"]["red"]
    confusion = dict.fromkeys(("rgb", "depth", "rgbd"), np.eye(50, dtype=int).tolist())
    wide = {**numbers, "labels": many, "confusion": confusion, "per_class": dict.fromkeys(many, row)}
    assert draw(wide).startswith(b"\x89PNG")
    right = {name: {"right": found["right"]} for name, found in numbers["angles"].items()}
    one = {
        **numbers,
        "labels": ["red"],
        "confusion": {modality: [[3]] for modality in confusion},
        "per_class": {"red": row},
        "angles": right,
    }
    assert draw(one).startswith(b"\x89PNG")


def write_pairs(path: Path, *, broken: Sequence[int] = (), late_ms: int = 0, pairs: int = 40) -> Path:
    """Red rooms; the RGB of some is cut short, depth is always ``late_ms`` later."""
    with BagWriter(path, compression="none", chunk_bytes=2000) as bag:
        add_topics(bag)
        for number in range(pairs):
            at, later = stamp(number), stamp(number) + late_ms * 1_000_000
            rgb = image_msg(colour_image("red"), "rgb8", at, FRAME)
            if number in broken:
                rgb.height += 1
            depth = image_msg(np.full((12, 16), 900, np.uint16), "16UC1", later, FRAME)
            bag.write(RGB_TOPIC, serialize(rgb), at)
            bag.write(DEPTH_TOPIC, serialize(depth), later)
    return path


def test_a_half_broken_bag_is_refused(bundle: Path, tmp_path: Path) -> None:
    """As by adapt: figures over the half that can be read would be taken for those of all."""
    bag = write_pairs(tmp_path / "half", broken=range(0, 40, 2))
    with pytest.raises(UserError, match=r"half: . of the first . pairs cannot be decoded, more than 5% of the bag"):
        evaluate(bundle, [bag])
    one = numbers_of(bundle, write_pairs(tmp_path / "one", broken=[7]))
    assert (one["samples"], one["bags"][0]["dropped"]) == (39, {"rgb unreadable": 1})
    with pytest.raises(UserError, match="3 of the first"):
        evaluate(bundle, [write_pairs(tmp_path / "end", broken=[37, 38, 39])])


def test_what_the_reader_lost_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_pairs(tmp_path / "bag")
    file = bag / "bag_0.mcap"
    os.truncate(file, file.stat().st_size // 2)
    numbers = numbers_of(bundle, bag)
    (of_bag,) = numbers["bags"]
    assert of_bag["pairs"] == numbers["samples"] < 40
    assert "of at least 80 messages were recovered" in of_bag["losses"][-1]
    show_evaluation(numbers)
    assert f"lost: {bag}: {of_bag['losses'][-1]}" in capsys.readouterr().out


def test_the_tolerance_is_the_runs(tmp_path: Path) -> None:
    """A bundle says what its pairs were; another tolerance can be asked for; a hint names the right one."""
    bag = write_pairs(tmp_path / "bag", late_ms=40)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_colour_bundle(tmp_path / "a" / "bundle")
    provenance = Provenance(recipe={"cache": {"max_skew_s": 0.05}}, created="2025-01-01T00:00:00Z")
    write_colour_bundle(tmp_path / "b" / "bundle", provenance=provenance)
    with pytest.raises(UserError, match=r"depth is always 40.0 ms later: --max-skew-s 0.05"):
        evaluate(tmp_path / "a" / "bundle", [bag])
    assert evaluate(tmp_path / "a" / "bundle", [bag], max_skew_s=0.05)["samples"] == 40
    assert evaluate(tmp_path / "b" / "bundle", [bag])["samples"] == 40
    with pytest.raises(UserError, match=r"no RGB and depth images within 0\.03 s"):
        evaluate(tmp_path / "b" / "bundle", [bag], max_skew_s=0.03)


def test_topics_can_be_named(bundle: Path, rooms: Path) -> None:
    assert evaluate(bundle, [rooms], rgb=f"/{RGB_TOPIC}", depth=DEPTH_TOPIC)["samples"] == 15
    with pytest.raises(UserError, match="no topic '/other'"):
        evaluate(bundle, [rooms], rgb="/other")
