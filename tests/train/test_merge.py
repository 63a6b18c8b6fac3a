"""``edgevl merge``: weights of students of one base are averaged, and the result is an ordinary run."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_train.adapt import adapt
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.merge.runs import NEEDED, check_alike, find_runs, merge_recipe
from edgevl_train.merge.soup import average, block_of, merge_for
from edgevl_train.prepare import prepare
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from edgevl_train.student.network import Student, build_student
from edgevl_train.training.batch_norms import measure_anew
from edgevl_train.training.validation import validator
from tests.cli.json_answers import answer_of
from tests.train.conftest import DIM, make_run_data

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


@pytest.fixture(scope="module")
def robots(
    finished_run: Path,
    sim_bag: Path,
    teacher_directory: Path,
    run_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A base and two students that went on from it, each with nothing but what is needed of it."""
    folder = tmp_path_factory.mktemp("robots")
    sections = {"stage1": {"epochs": 1, "batch": 16}, "stage2": {"epochs": 0, "calibration_pairs": 32}}
    student = run_recipe.student.model_dump() | {"start_from": finished_run}
    changed = run_recipe.model_dump() | {"student": student, "replay": {"share": 0.0}, **sections}
    adapted = folder / "adapted"
    adapt([sim_bag], f"open_clip:@{teacher_directory}", LABELS, adapted, parse_recipe(changed, origin="test"))
    for name, run in {"base": finished_run, "kitchen": adapted, "office": adapted}.items():
        (folder / name / "checkpoints").mkdir(parents=True)
        for file in NEEDED:  # what a robot sends, and nothing else of its run
            shutil.copy(run / file, folder / name / file)
    # The second robot's: as if its training had gone a little elsewhere.
    generator = torch.Generator().manual_seed(0)
    with_changed(
        folder / "office", lambda name, value: value * (1 + 0.05 * torch.randn(value.shape, generator=generator))
    )
    return {name: folder / name for name in ("base", "kitchen", "office")}


def with_changed(run: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    """The run, the weights in its checkpoint changed by ``change`` (name, value)."""
    content = torch.load(run / "checkpoints/stage1.pt", weights_only=True)
    best = content["best"]["state"]
    best |= {name: change(name, value) for name, value in best.items() if name.endswith(("weight", "bias"))}
    torch.save(content, run / "checkpoints/stage1.pt")
    return run


def test_a_merged_student_is_an_ordinary_run(
    robots: dict[str, Path], sim_bag: Path, teacher_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sent = tmp_path / "merged", [robots["kitchen"], robots["office"]]
    words = ("--bag", sim_bag, "--teacher", f"open_clip:@{teacher_directory}", "--labels", LABELS, "--out", out)
    said = answer_of(capsys, "merge", *sent, *words, "--choice", "all")
    assert said["bundle"] == str(out / "bundle")
    assert said["decision"]["sentence"]
    report = json.loads((out / "report.json").read_text())
    assert report["merged"]["parts"]["runs"] == [str(path) for path in sent]
    assert set(report["merged"]["scores"]) == {*map(str, sent), "average"}
    assert (report["stage1"]["epoch"], report["stage2"]["epoch"]) == (0, 0)
    assert load_recipe(out / "recipe.yaml").student.merge == tuple(sent)
    pair = next(read_pairs(sim_bag))
    assert Classifier(load_bundle(out / "bundle")).classify(pair.rgb, pair.depth_m).scores
    assert evaluate(out / "bundle", [sim_bag])["samples"] == 96
    assert evaluate(out, [sim_bag])["samples"] == 96
    (page,) = answer_of(capsys, "report", out)["runs"]
    assert Path(page["page"]).is_file()
    # It may be gone on with, and merged again: with whatever has an ancestor in common with all its parts.
    again = merge_recipe(find_runs([out, robots["base"]]), "all", [])
    check_alike(again, LABELS)
    assert again.stage2.calibration_pairs == 32
    resumed = answer_of(capsys, "merge", *sent, *words, "--choice", "all", "--resume")
    assert resumed == said


def with_weights(student: Student, value: float) -> Student:
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.fill_(value)
    return student


def test_the_average_of_weights_is_their_mean() -> None:
    both = [with_weights(build_student("test_resnet", DIM), value).state_dict() for value in (1.0, 3.0)]
    merged = average(both)
    assert all(bool((value == 2.0).all()) for name, value in merged.items() if name.endswith("weight"))
    assert not any(value.is_floating_point() for name, value in merged.items() if name.endswith("num_batches_tracked"))
    assert [block_of(name) for name in ("backbone.blocks.2.0.conv.weight", "backbone.conv1.weight", "head.bias")] == [
        "backbone.blocks.2",
        "backbone.conv1",
        "head",
    ]


@pytest.mark.parametrize("choice", ["all", "greedy", "layers"])
def test_what_would_make_it_worse_is_left_out(
    choice: str, robots: dict[str, Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    data = make_run_data(tiny_recipe, pairs=80)
    section = load_recipe(robots["kitchen"] / "recipe.yaml").student
    spoilt = shutil.copytree(robots["office"], tmp_path / "spoilt")
    with_changed(spoilt, lambda name, value: -value if name.startswith("head") else value)
    runs = (robots["base"], robots["kitchen"], spoilt)
    section = section.model_copy(update={"merge": runs, "merge_choice": choice, "start_from": None})
    student, said = build_student("test_resnet", DIM, backbone=section.backbone), []
    found = merge_for(student, data, section, said.append)
    assert found is not None
    assert len(said) == 1
    scores = found["scores"]
    reached = {"all": scores["average"], "greedy": max(map(scores.__getitem__, map(str, runs)))}
    assert found["score"] >= reached.get(choice, scores["average"])
    assert all(bool(value.isfinite().all()) for value in student.state_dict().values())
    again = validator(data, torch.device("cpu"))(student.eval())["score"]
    assert again == pytest.approx(found["score"], abs=1e-6)


def test_statistics_made_anew_are_those_of_the_data() -> None:
    torch.manual_seed(0)
    student = build_student("test_resnet", DIM)
    batches = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8).split(32)
    first = next(module for module in student.modules() if isinstance(module, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        measure_anew(student, batches)
        handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for pixels in batches:
            student(pixels)
        handle.remove()
    mean = torch.cat(seen).mean((0, 2, 3))
    torch.testing.assert_close(first.running_mean, mean, atol=1e-4, rtol=1e-4)
    assert first.momentum == 0.1
    assert not student.training


def test_what_cannot_be_merged_is_refused_in_one_line(
    robots: dict[str, Path], finished_run: Path, run_recipe: Recipe, tmp_path: Path
) -> None:
    kitchen, office = robots["kitchen"], robots["office"]
    with pytest.raises(UserError, match="1 runs to merge"):
        find_runs([kitchen])
    (tmp_path / "link").symlink_to(kitchen)
    for twice in (kitchen, tmp_path / "link"):
        with pytest.raises(UserError, match=f"{kitchen} and {twice} are the same student, given twice"):
            find_runs([kitchen, twice])
    with pytest.raises(UserError, match=r"has no recipe\.yaml"):
        find_runs([kitchen, tmp_path])
    alone = shutil.copytree(finished_run / "bundle", tmp_path / "alone")
    with pytest.raises(UserError, match=r"is a bundle, which holds no float weights.*give the run of `edgevl adapt`"):
        find_runs([kitchen, alone])
    assert find_runs([finished_run / "bundle", kitchen]) == (finished_run, kitchen)

    def changed(name: str, **recipe: object) -> Path:
        run = shutil.copytree(office, tmp_path / name)
        (run / "recipe.yaml").write_bytes(dump_recipe(parse_recipe(run_recipe.model_dump() | recipe, origin="t")))
        return run

    def refused(words: str, *runs: Path, labels: Path = LABELS, settings: Sequence[str] = ()) -> None:
        with pytest.raises(UserError, match=words) as error:
            check_alike(merge_recipe(runs, "all", settings), labels)
        assert "\n" not in str(error.value)

    check_alike(merge_recipe([kitchen, office, robots["base"]], "all", []), LABELS)
    other = changed("network", student=run_recipe.student.model_dump() | {"head": "mlp"})
    refused(r"its student\.head is mlp, that of the merged student linear", kitchen, other)
    minmax = {"depth_encoding": "minmax"}
    with_changed(changed("input", preprocess=minmax), lambda name, value: value + 1)
    refused("its input is .*minmax", kitchen, tmp_path / "input")
    refused("its input is .*metric.*minmax", kitchen, office, settings=["preprocess.depth_encoding=minmax"])
    refused("its student.size_px is 32, that of the merged .* 40", kitchen, office, settings=["student.size_px=40"])
    refused("made for other labels", kitchen, office, labels=resource("config/labels/scannet.yaml"))
    copy = shutil.copytree(kitchen, tmp_path / "copy")
    refused(f"{kitchen} and {copy} are the same student, given twice", kitchen, copy)
    (copy / "inputs.json").write_text('{"teacher": ')
    with_changed(copy, lambda name, value: value + 1)
    refused("inputs.json is damaged", kitchen, copy)
    inputs = json.loads((office / "inputs.json").read_text())
    stranger = changed("stranger", student=run_recipe.student.model_dump() | {"start_from": tmp_path / "gone"})
    with_changed(stranger, lambda name, value: value + 1)
    (stranger / "inputs.json").write_text(json.dumps(inputs | {"first_weights": "of another base"}))
    refused("go back to no common student", kitchen, stranger)
    itself = changed("itself", student=run_recipe.student.model_dump() | {"start_from": tmp_path / "itself"})
    with_changed(itself, lambda name, value: value + 1)
    (itself / "inputs.json").write_text(json.dumps(inputs | {"first_weights": "of itself"}))
    refused("go back to no common student", kitchen, itself)


def test_a_student_that_is_not_finished_or_damaged_is_not_merged(
    robots: dict[str, Path], sim_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    def refused(words: str, run: Path, sent: Path = robots["kitchen"]) -> None:
        with pytest.raises(UserError, match=words) as error:
            prepare([sim_bag], f"open_clip:@{teacher_directory}", LABELS, merge_recipe([sent, run], "all", []))
        assert "\n" not in str(error.value)

    begun = shutil.copytree(robots["office"], tmp_path / "begun")
    content = torch.load(begun / "checkpoints/stage1.pt", weights_only=True)
    torch.save(content | {"epoch": 0}, begun / "checkpoints/stage1.pt")
    refused("begun was cut off after 0 of 1 epochs of stage 1, or is still at work: let it end", begun)
    no_numbers = shutil.copytree(robots["office"], tmp_path / "no_numbers")
    with_changed(no_numbers, lambda name, value: value * torch.nan)
    refused(r"no_numbers/checkpoints/stage1\.pt .*weights that are no numbers", no_numbers)
    other = shutil.copytree(robots["office"], tmp_path / "other")
    inputs = json.loads((other / "inputs.json").read_text())
    (other / "inputs.json").write_text(json.dumps(inputs | {"teacher": "another"}))
    refused("other was made with another teacher", other)


def test_a_few_images_more_do_not_move_the_statistics(robots: dict[str, Path], tiny_recipe: Recipe) -> None:
    """33 training pairs are 66 images: the last two must not weigh as much as the other 64."""
    section = load_recipe(robots["base"] / "recipe.yaml").student
    section = section.model_copy(update={"merge": (robots["base"], robots["kitchen"]), "merge_choice": "all"})
    data = make_run_data(tiny_recipe)
    running = []
    for pairs in (32, 33):
        student = build_student("test_resnet", DIM, backbone=section.backbone)
        merge_for(student, replace(data, train=data.train[:pairs]), section, str)
        running.append([norm.running_var for norm in student.modules() if isinstance(norm, nn.BatchNorm2d)])
    apart = [((one - other).abs() / one).mean().item() for one, other in zip(*running, strict=True)]
    assert max(apart) < 0.05


def test_a_base_that_was_chosen_by_a_budget_is_merged_as_what_was_chosen(run_recipe: Recipe, tmp_path: Path) -> None:
    student = run_recipe.student.model_dump() | {"budget_ms": 5.0}
    chosen = parse_recipe(run_recipe.model_dump() | {"student": student}, origin="test")
    (tmp_path / "recipe.yaml").write_bytes(dump_recipe(chosen))
    merged = merge_recipe([tmp_path, tmp_path / "other"], "all", []).student
    kept = {"name", "size_px", "head", "backbone"}
    assert merged.model_dump(include=kept) == run_recipe.student.model_dump(include=kept)
    assert merged.budget_ms is None


def test_epochs_of_0_need_a_student_that_is_one(run_recipe: Recipe) -> None:
    with pytest.raises(UserError, match=r"a new student needs training: stage1\.epochs 0"):
        parse_recipe(run_recipe.model_dump() | {"stage1": {"epochs": 0}}, origin="test")
    with pytest.raises(UserError, match="merge is given with"):
        parse_recipe({"student": {"merge": ["a", "b"], "start_from": "c"}}, origin="test")
