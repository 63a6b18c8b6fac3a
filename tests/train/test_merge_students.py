"""``edgevl merge --choice distil``: students of any network and size teach a new one, and a bundle's file is enough."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgevl_cli.main import app
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.resources import resource
from edgevl_core.bundle.files import STUDENT_INT8
from edgevl_core.bundle.fusion import DEFAULT_TRUST, RGB_ONLY, depth_quality, mix, rgb_quality
from edgevl_core.bundle.manifest import MANIFEST_FILE, manifest_id, read_manifest
from edgevl_core.camera.preprocess import to_batch, to_input
from edgevl_core.engine import Engine
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_train.data.cache import open_cache
from edgevl_train.data.embeddings import Shown, embed_views, open_embeddings
from edgevl_train.data.views import draw_views
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.merge.students import Member, distil_recipe, load_students
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from edgevl_train.restore import load_float_student
from edgevl_train.student.network import build_student
from edgevl_train.teacher.loading import Teacher, load_teacher
from tests.cli.json_answers import answer_of
from tests.core.bundle.hostile import add_memory
from tests.train.conftest import DIM

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


@pytest.fixture(scope="module")
def bundle_alone(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a robot may send: manifest and int8 file."""
    folder = tmp_path_factory.mktemp("sent") / "kitchen"
    folder.mkdir()
    for name in (MANIFEST_FILE, STUDENT_INT8):
        shutil.copy(finished_run / "bundle" / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def larger(finished_run: Path, run_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another network, of 40 px instead of 32: what is needed of it and no more."""
    folder = tmp_path_factory.mktemp("sent") / "office"
    (folder / "checkpoints").mkdir(parents=True)
    section = {"name": "test_vit", "size_px": 40, "backbone": {"img_size": 40, "patch_size": 8, "depth": 1}}
    torch.manual_seed(5)
    student = build_student("test_vit", DIM, size_px=40, backbone=section["backbone"])
    content = {"epoch": run_recipe.stage1.epochs, "best": {"epoch": 1, "state": student.state_dict()}}
    torch.save(content, folder / "checkpoints/stage1.pt")
    changed = run_recipe.model_dump() | {"student": section}
    (folder / "recipe.yaml").write_bytes(dump_recipe(parse_recipe(changed, origin="test")))
    shutil.copy(finished_run / "inputs.json", folder / "inputs.json")
    return folder


@pytest.fixture(scope="module")
def teacher(teacher_directory: Path) -> Teacher:
    return load_teacher(f"open_clip:@{teacher_directory}")


def test_a_new_student_learns_what_the_others_say_together(
    bundle_alone: Path,
    larger: Path,
    sim_bag: Path,
    run_recipe: Recipe,
    teacher: Teacher,
    teacher_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, out = tmp_path / "new.yaml", tmp_path / "merged"
    student = {"name": "test_resnet", "size_px": 32, "backbone": {"output_stride": 8}}
    new = parse_recipe(run_recipe.model_dump() | {"student": student}, origin="test")
    recipe.write_bytes(dump_recipe(new))
    words = ("--bag", sim_bag, "--teacher", f"open_clip:@{teacher_directory}", "--labels", LABELS, "--out", out)
    how = ("--choice", "distil", "--recipe", recipe)
    said = answer_of(capsys, "merge", bundle_alone, larger, *words, *how)
    assert said["bundle"] == str(out / "bundle")
    assert load_recipe(out / "recipe.yaml").teacher.students == (bundle_alone, larger)
    assert evaluate(out / "bundle", [sim_bag])["samples"] == 96
    assert answer_of(capsys, "merge", bundle_alone, larger, *words, *how, "--resume") == said
    # It is in the teacher's own space, and others go on from it.
    assert read_manifest(out / "bundle").teacher == teacher.name
    cache = open_cache(out / "cache")
    views = draw_views(len(cache), new.views, new.seed)
    targets, _, _ = open_embeddings(out, teacher, cache, views)

    # What was learned is what each says of the pair on its robot: its own size, both cameras, as far as it trusts them.
    pairs = list(read_pairs(sim_bag))[:5]
    office = load_float_student(larger, load_recipe(larger / "recipe.yaml").student, DIM)
    kitchen, manifest = Engine(bundle_alone / STUDENT_INT8), read_manifest(bundle_alone)

    def office_on_numpy(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(office(torch.from_numpy(pixels)).numpy())

    together = []
    for pair in pairs:
        said_of = []
        for network, preprocess, trust in (
            (kitchen, manifest.preprocess, manifest.trust),
            (office_on_numpy, load_recipe(larger / "recipe.yaml").robot_preprocess(), DEFAULT_TRUST),
        ):
            rgb, depth = to_input(pair.rgb, preprocess), to_input(pair.depth, preprocess)
            embeddings = np.stack([network(to_batch([rgb])), network(to_batch([depth]))])
            quality = np.stack([rgb_quality(rgb[None], trust.rgb), depth_quality(depth[None], trust.depth)])
            said_of.append(mix(embeddings, quality)[0])
        mean = np.mean(said_of, 0)
        together.append(mean / np.linalg.norm(mean))
    rows = [int(np.flatnonzero(cache.stamp_ns == pair.stamp_ns)[0]) for pair in pairs]
    cosine = (np.asarray(targets[0, rows], np.float32) * np.stack(together)).sum(1)
    assert cosine.min() > 0.999


def test_a_part_of_each_target_may_be_the_teachers_own(
    finished_run: Path, bundle_alone: Path, larger: Path, run_recipe: Recipe, teacher: Teacher, tmp_path: Path
) -> None:
    cache = open_cache(finished_run / "cache")
    views = draw_views(len(cache), run_recipe.views, run_recipe.seed)
    alone = distil_recipe([bundle_alone, larger], run_recipe)
    section = alone.teacher.model_copy(update={"students_share": 0.25})
    for name in ("teacher", "students", "both"):
        (tmp_path / name).mkdir()
    found = {"teacher": embed_views(teacher, cache, views, tmp_path / "teacher")}
    for name, recipe in (("students", alone), ("both", alone.model_copy(update={"teacher": section}))):
        students = load_students(teacher, recipe)
        assert students is not None
        found[name] = students.embed_views(teacher, cache, views, tmp_path / name)
    whole = {name: np.asarray(targets[0], np.float32) for name, targets in found.items()}
    expected = 0.75 * whole["teacher"] + 0.25 * whole["students"]
    cosine = (whole["both"] * expected).sum(1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999  # what is kept are half-precision numbers
    assert (whole["both"] * whole["students"]).sum(1).mean() < 0.9999


def test_a_student_that_was_never_shown_depth_is_not_asked_about_it(finished_run: Path, run_recipe: Recipe) -> None:
    cache, bundle = open_cache(finished_run / "cache"), finished_run / "bundle"
    dark = replace(cache, full_rgb=np.zeros_like(cache.full_rgb), wide_rgb=np.zeros_like(cache.wide_rgb))
    shown = Shown(dark, draw_views(len(cache), run_recipe.views, run_recipe.seed), 0, np.arange(3))
    engine, manifest = Engine(bundle / STUDENT_INT8), read_manifest(bundle)
    answer = Member(bundle, engine, manifest.preprocess, RGB_ONLY, "").answer(shown)
    np.testing.assert_allclose(answer, engine(np.zeros((3, 3, 32, 32), np.uint8)), atol=1e-6)


def test_who_cannot_teach_is_refused_in_one_line(
    bundle_alone: Path, larger: Path, finished_run: Path, run_recipe: Recipe, teacher: Teacher, tmp_path: Path
) -> None:
    def refused(words: str, *paths: Path, **sections: object) -> None:
        recipe = parse_recipe(run_recipe.model_dump() | sections, origin="test")
        with pytest.raises(UserError, match=words) as error:
            load_students(teacher, distil_recipe(paths, recipe))
        assert "\n" not in str(error.value)

    assert load_students(teacher, run_recipe) is None
    both = load_students(teacher, distil_recipe([bundle_alone, larger], run_recipe))
    assert both is not None
    assert [each.preprocess.size_px for each in both.members] == [32, 40]
    refused("1 students to learn from: give two or more", bundle_alone)
    # A run answers as its bundle does.
    (tmp_path / "copy").symlink_to(bundle_alone)
    for one, other in ((bundle_alone, tmp_path / "copy"), (finished_run, finished_run / "bundle")):
        refused(f"{one} and {other} are the same student, given twice", one, larger, other)
    named = run_recipe.teacher.model_dump() | {"students": [larger]}
    refused("set by recipe or --set, and students are given as well", bundle_alone, larger, teacher=named)
    with pytest.raises(UserError, match=r"teacher\.students_share=0\.5: there are no students to share with"):
        load_students(teacher, load_recipe("demo", ["teacher.students_share=0.5"]))
    refused(r"has no recipe\.yaml.*a bundle .*student\.onnx.* or a run", bundle_alone, tmp_path)
    refused("its student sees 40 px, the training cache keeps 36", bundle_alone, larger, cache={"size_px": 36})
    minmax = {"depth_encoding": "minmax"}
    refused("sees depth as metric, the new one as minmax", bundle_alone, larger, preprocess=minmax)

    edited = replace(teacher, config_sha256="0" * 64)  # its config.json, since the run
    with pytest.raises(UserError, match=r"whose config\.json or preprocessing was another then: pass it .* as it was"):
        load_students(edited, distil_recipe([bundle_alone, larger], run_recipe))
    changed = shutil.copytree(bundle_alone, tmp_path / "of_another")
    content = json.loads((changed / MANIFEST_FILE).read_text()) | {"teacher": "another"}
    (changed / MANIFEST_FILE).write_text(json.dumps(content | {"bundle_id": manifest_id(content)}))
    refused("was made with the teacher another, not ", changed, larger)
    damaged = shutil.copytree(bundle_alone, tmp_path / "damaged")
    (damaged / STUDENT_INT8).write_bytes((damaged / STUDENT_INT8).read_bytes()[:-1] + b"\0")
    refused(r"student\.onnx has SHA-256 .* the manifest says", damaged, larger)
    (damaged / STUDENT_INT8).unlink()
    refused(r"has no student\.onnx", damaged, larger)
    foreign = shutil.copytree(bundle_alone, tmp_path / "foreign")
    network = onnx.load(foreign / STUDENT_INT8)
    network.graph.node[0].domain, network.graph.node[0].op_type = "com.other", "Anything"
    onnx.save(network, foreign / STUDENT_INT8)
    content = json.loads((foreign / MANIFEST_FILE).read_text())
    content["files"][STUDENT_INT8] = sha256_file(foreign / STUDENT_INT8)
    (foreign / MANIFEST_FILE).write_text(json.dumps(content | {"bundle_id": manifest_id(content)}))
    refused(r"com\.other\.Anything", foreign, larger)
    heavy = shutil.copytree(bundle_alone, tmp_path / "heavy")
    add_memory(heavy / STUDENT_INT8)
    content["files"][STUDENT_INT8] = sha256_file(heavy / STUDENT_INT8)
    (heavy / MANIFEST_FILE).write_text(json.dumps(content | {"bundle_id": manifest_id(content)}))
    refused(r"heavy/student\.onnx: its self-test ended with", heavy, larger)
    stranger = shutil.copytree(larger, tmp_path / "stranger")
    inputs = json.loads((larger / "inputs.json").read_text()) | {"teacher": "another"}
    (stranger / "inputs.json").write_text(json.dumps(inputs))
    refused("was made with another teacher", bundle_alone, stranger)


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    needed = ("--bag", "bag", "--teacher", "open_clip:x", "--labels", str(LABELS), "--out", str(tmp_path / "out"))
    for words, how in (("accepted are greedy, layers, all, distil", "mean"), ("leave it out, or distil", "all")):
        with pytest.raises(UserError, match=words):
            app(
                ["merge", "one", "other", *needed, "--choice", how, "--recipe", "demo"],
                standalone_mode=False,
            )
