"""``edgevl report``: the page of a run says what report.json says, asks the student again, and bears what is gone."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.page.render import figure, percent
from edgevl_train.ablation.figures import ROWS, compare, name_of
from edgevl_train.report.comparison import write_comparison
from edgevl_train.report.page import write_run_page
from edgevl_train.report.pairs import open_cache_of, open_pairs
from edgevl_train.report.run_files import MODALITIES, read_run
from edgevl_train.report.students import ask
from tests.page.looks import check_looks, needs_chromium
from tests.page.reader import check_self_contained, read_page

pytestmark = pytest.mark.train
EVIL = "<script>alert(1)</script>"
LABELS = [entry["name"] for entry in yaml.safe_load(resource("config/labels/home.yaml").read_text())["labels"]]


def copied(run: Path, to: Path) -> Path:
    """The run without its checkpoints; the cache is linked."""
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("checkpoints", "cache"))
    (to / "cache").symlink_to(run / "cache")
    return to


def change_report(run: Path, **parts: object) -> None:
    report = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps({key: v for key, v in (report | parts).items() if v is not None}))


def made_up_ablation() -> dict[str, object]:
    draw = random.Random(0)
    names = [f"validation_{kind}_{camera}" for kind in ("agreement", "cosine") for camera in ("rgb", "depth", "mean")]
    figures = [{row: {name: draw.uniform(0.7, 0.9) for name in names} for row in ROWS} for _ in range(3)]
    return {"seeds": [0, 1, 2], "test": [], "names": {row: name_of(row) for row in ROWS}} | compare(figures)


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with an ablation, hostile names and times."""
    run = copied(finished_run, tmp_path_factory.mktemp("report") / "run")
    (run / "ablation.json").write_text(json.dumps(made_up_ablation()))
    report = json.loads((run / "report.json").read_text())
    report["bags"][0]["name"] = EVIL
    change_report(run, bags=report["bags"], warnings=[EVIL])
    write_run_page(run, timed=lambda tasks: dict.fromkeys(tasks, 0.00125), machine="this machine")
    return run


def test_figures_are_those_of_the_run(run: Path) -> None:
    rows, report = read_page(run / "report.html").rows, json.loads((run / "report.json").read_text())
    students = [report["students"][name] for name in ("fp32", "ptq", "int8")]
    for modality, name in MODALITIES.items():
        agreement = [percent(student["agreement"][modality], 1) for student in students]
        assert rows[f"agreement with the teacher, {name}"] == agreement
        for key, title in (("cosine", "cosine to the teacher"), ("ece", "calibration error")):
            assert rows[f"{title}, {name}"] == [figure(student[key][modality]) for student in students]
    assert rows["time of one picture"] == ["1.25 ms"] * 3
    stage1 = made_up_ablation()["rows"]["stage1_fp32"]["validation_agreement_rgb"]
    assert rows["stage 1, float"][0].split() == [figure(stage1["mean"]), "±", figure(stage1["std"])]
    assert f"{report['pairs']['train']} pairs were learned from" in read_page(run / "report.html").words


def test_what_a_student_was_made_from_is_told(finished_run: Path, run: Path, tmp_path: Path) -> None:
    assert "made from" not in read_page(run / "report.html").words  # a new student: nothing to tell
    merged = copied(finished_run, tmp_path / "merged")
    scores = {f"/fleet/{EVIL}": 0.61, "/fleet/office": 0.75, "average": 0.7}
    parts = {"runs": ["/fleet/office"], "blocks": {"backbone.layer2": "/fleet/office"}}
    change_report(merged, merged={"choice": "greedy", "score": 0.77, "scores": scores, "parts": parts})
    recipe = yaml.safe_load((merged / "recipe.yaml").read_text())
    recipe["student"] |= {"start_from": "/base", "prune_share": 0.3, "widths": {"head": [16, 8]}}
    recipe["teacher"] |= {"students": ["/one", "/other"], "students_share": 0.5}
    recipe["stage2"] |= {"weight_bits": 4, "power_of_two": True}
    (merged / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    page = read_page(write_run_page(merged))
    assert page.rows["/fleet/office"] == ["0.750", "averaged, backbone.layer2 whole"]
    assert page.rows[f"/fleet/{EVIL}"] == ["0.610", "left out"]
    assert page.rows["the average of all"][0] == "0.700"
    assert page.rows["merged"] == ["0.770", "what stage 1 began with"]
    told = (
        "began with the student of /base, 30% of whose channels were taken out; 1 of its layers are narrower than",
        "learned what 2 students answer beside the teacher, as 50% of each target: /one, /other.",
        "The weights of its int8 files are of 4 bits, with scales that are powers of two.",
    )
    assert all(sentence in page.words for sentence in told)
    check_self_contained(merged / "report.html")


def test_every_label_has_a_row(run: Path) -> None:
    page, report = read_page(run / "report.html"), json.loads((run / "report.json").read_text())
    covered = report["coverage"]["labels"]
    assert set(covered) == set(LABELS)
    assert set(LABELS) <= set(page.rows)
    assert report["decision"]["sentence"].partition(": ")[2][1:] in page.words


def test_nothing_is_loaded_and_names_are_harmless(run: Path) -> None:
    check_self_contained(run / "report.html")
    page = read_page(run / "report.html")
    assert page.words.count(EVIL) >= 2
    assert page.tags.count("img") >= 2 * 20


def test_the_student_is_asked_again(run: Path) -> None:
    """Its answers are those that the run measured, on the pairs that it measured them on."""
    files = read_run(run)
    pairs = open_pairs(files, open_cache_of(files))
    steps: list[tuple[int, int]] = []
    asked = ask(files, pairs, None, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 4) for done in range(5)]
    assert len(asked.rows) == files.report["pairs"]["val"]
    answer = pairs.teacher(asked.rows).argmax(1)
    for modality, answers in asked.found.items():
        share = float((answers.label == answer).mean())
        assert share == pytest.approx(files.report["students"]["int8"]["agreement"][modality])
    assert np.bincount(answer, minlength=len(pairs.labels)).tolist() == [
        files.report["coverage"]["labels"][name]["val"] for name in pairs.labels
    ]


@needs_chromium
def test_how_it_looks(run: Path, finished_run: Path, tmp_path: Path) -> None:
    other = copied(finished_run, tmp_path / ("a_name_without_a_place_to_break_" * 3))
    comparison = write_comparison([run, other], tmp_path / "comparison.html")
    check_looks([run / "report.html", comparison], tmp_path)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("cache", "The run's cache of pairs is no longer there"),
        ("teacher_embeddings.f16", "The teacher's embeddings of this run cannot be read"),
        ("bundle", "The run has no bundle that can be read"),
        ("cache/full_rgb.u8", "is damaged"),
    ],
)
def test_what_is_gone_is_said(finished_run: Path, tmp_path: Path, gone: str, sentence: str) -> None:
    run = copied(finished_run, tmp_path / "run")
    if gone.startswith("cache/"):
        (run / "cache").unlink()
        shutil.copytree(finished_run / "cache", run / "cache")
    path = run / gone
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    page = write_run_page(run)
    check_self_contained(page)
    assert sentence in read_page(page).words
    assert read_page(page).rows["agreement with the teacher, RGB"]


def test_students_whose_files_are_gone(finished_run: Path, tmp_path: Path) -> None:
    run = copied(finished_run, tmp_path / "run")
    shutil.rmtree(run / "onnx")
    (run / "bundle/student.onnx").unlink()
    assert "The files of the exported students are no longer there" in read_page(write_run_page(run)).words


def test_a_run_of_long_ago(tmp_path: Path) -> None:
    """Of the very first release: no coverage, no bags, no decision, no trust."""
    agreement = {"rgb": 0.9, "depth": 0.8, "rgbd": 0.93}
    report = {
        "pairs": {"train": 900, "val": 100},
        "split_by": "time",
        "students": {name: {"agreement": agreement, "bytes": 3_000_000} for name in ("fp32", "ptq", "int8")},
        "curation": {"kitchen": {"candidates": 100, "kept": 90, "dropped": 10}},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "metrics.jsonl").write_text('{"stage": "stage1", "epoch": 1, "agree_rgb": 0.5}\n{"stage": "st')
    page = write_run_page(tmp_path)
    check_self_contained(page)
    read = read_page(page)
    assert "No verdict" in read.words
    assert read.rows["kitchen"][:2] == ["90", "10"]
    assert read.rows["size of the network"] == ["3.0 MB"] * 3


def test_an_ablation_alone(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text(json.dumps(made_up_ablation()))
    page = write_run_page(tmp_path)
    check_self_contained(page)
    assert set(map(name_of, ROWS)) <= set(read_page(page).rows)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metrics\.jsonl and no report\.json"):
        write_run_page(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        write_run_page(tmp_path)


def test_a_recipe_that_no_parser_takes_is_one_line(finished_run: Path, tmp_path: Path) -> None:
    run = copied(finished_run, tmp_path / "run")
    (run / "recipe.yaml").write_text("- " * 3000)
    with pytest.raises(UserError, match=r"recipe\.yaml is damaged \(too many values stand inside each other\)"):
        read_run(run)


def test_a_comparison_names_what_differed(finished_run: Path, run: Path, tmp_path: Path) -> None:
    other = copied(finished_run, tmp_path / "run")  # of the same name
    recipe = yaml.safe_load((other / "recipe.yaml").read_text())
    recipe["stage1"]["epochs"] = 77
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    report = json.loads((other / "report.json").read_text())
    report["students"]["int8"]["agreement"]["rgb"] = 0.987
    change_report(other, students=report["students"], decision=None)
    page = write_comparison([run, other], tmp_path / "comparison.html")
    check_self_contained(page)
    rows = read_page(page).rows
    assert rows["stage1. epochs"][1] == "77"
    assert "stage2. epochs" not in rows
    assert rows["int8 (stage 2): agreement, RGB"][1] == percent(0.987, 1)
    assert rows[f"{tmp_path.name}/run"] == ["no verdict"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_two_runs(run: Path, tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match="two runs or more are needed, each named once"):
        write_comparison([run] * count, tmp_path / "comparison.html")
