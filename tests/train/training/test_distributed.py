"""The engine in real processes: killed at a random batch, and two at a time over gloo; a whole run by two."""

import dataclasses
import importlib.util
import json
import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from edgevl_core.base.resources import resource
from edgevl_train.data.run_data import RunData
from edgevl_train.data.views import draw_views
from edgevl_train.recipe import Recipe, parse_recipe
from tests.paths import ROOT

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")
SCRIPT = ROOT / "tests/train/training/distributed_process.py"


@pytest.fixture(scope="module")
def process() -> ModuleType:
    """The script of the processes, to run the same jobs in this one."""
    spec = importlib.util.spec_from_file_location("distributed_process", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def by_two(job: str, folder: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launcher, str(SCRIPT), job, str(folder)], cwd=ROOT, env=environment(), timeout=600, check=True)


def test_killed_at_a_random_batch_it_ends_with_the_same_weights(
    run_data: RunData, tiny_recipe: Recipe, process: ModuleType, tmp_path: Path
) -> None:
    recipe = tiny_recipe.model_copy(update={"checkpoint_every_s": 0.05})
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    for directory in (killed, unbroken):
        directory.mkdir()
    (killed / "input.pkl").write_bytes(pickle.dumps((run_data, recipe)))
    at = random.randrange(1, 16)  # of 2 epochs of 8 batches
    command = [sys.executable, str(SCRIPT), "stage1", str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= at:
                break
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not (killed / "student.pt").exists()
    process.run_stage1(run_data, recipe, killed)
    process.run_stage1(run_data, recipe, unbroken)
    resumed, whole = (torch.load(folder / "student.pt", weights_only=True) for folder in (killed, unbroken))
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), (at, name)
    assert (killed / "metrics.jsonl").read_text() == (unbroken / "metrics.jsonl").read_text()


@pytest.fixture
def transformer() -> Recipe:
    """A student without BatchNorm, whose steps do not depend on how a batch is shared out."""
    backbone = {"img_size": 32, "patch_size": 8, "depth": 2, "dynamic_img_size": False}
    return parse_recipe(
        {
            "accelerator": "cpu",
            "precision": "32-true",
            "student": {"name": "test_vit", "size_px": 32, "backbone": backbone},
            "cache": {"size_px": 48},
            "views": {"count": 3},
            "depth_augment": {"noise_m_at_1m": 0.01},
            "stage1": {"epochs": 1, "batch": 16, "lr": 1e-3, "accumulate": 2, "ema_decay": 0.5},
            "stage2": {"epochs": 1, "batch": 16, "lr": 1e-4, "triplet_weight": 1.0, "margin": 0.5},
        },
        origin="test",
    )


def test_two_processes_take_the_steps_of_one(
    run_data: RunData, transformer: Recipe, process: ModuleType, tmp_path: Path
) -> None:
    # 64 pairs to learn from: 4 batches; an Adam step divides by the gradient's size, so the tolerance is of a step.
    data = dataclasses.replace(
        run_data, train=run_data.train[:64], val=run_data.val[:32], views=draw_views(320, transformer.views, 0)
    )
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        directory.mkdir()
    (two / "input.pkl").write_bytes(pickle.dumps((data, transformer)))
    by_two("both", two)
    process.run_both(data, transformer, one)
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (one, two)
    ]
    assert lines[0][2]["triplets"] > 10  # mined among all pairs of the batch, not among each process's half
    for mine, shared in zip(*lines, strict=True):
        assert shared == pytest.approx(mine, abs=2e-4)
    states = [torch.load(folder / "students.pt", weights_only=True) for folder in (one, two)]
    start = process.make_student(transformer, data).state_dict()
    for alone, together in zip(*states, strict=True):
        for name, tensor in alone.items():
            assert torch.allclose(tensor, together[name], atol=1e-5), name
    assert not torch.allclose(states[0][0]["head.weight"], start["head.weight"], atol=1e-4)  # they did learn
    embeddings = [np.fromfile(folder / "teacher_embeddings.f16", np.float16) for folder in (one, two)]
    assert np.array_equal(*embeddings)


def test_two_processes_make_the_run_of_one(
    transformer: Recipe,
    process: ModuleType,
    finished_run: Path,
    sim_bag: Path,
    bag_without_truth: Path,
    teacher_directory: Path,
    tmp_path: Path,
) -> None:
    # Students answer in the teacher's place, so that their embeddings are shared out as well.
    students = (finished_run, finished_run / "bundle_ptq")
    changed = transformer.model_dump() | {"teacher": {"students": students, "batch": 8}, "threads": 1}
    changed["stage2"]["epochs"] = 0
    recipe, bags = parse_recipe(changed, origin="test"), [sim_bag, bag_without_truth]
    given = (bags, f"open_clip:@{teacher_directory}", LABELS, recipe, finished_run / "bundle")
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        directory.mkdir()
    (two / "input.pkl").write_bytes(pickle.dumps(given))
    by_two("adapt", two)
    process.run_adapt(*given, one)
    files = sorted(path.name for path in (one / "run/cache").iterdir())
    assert files == sorted(path.name for path in (two / "run/cache").iterdir())
    assert not list((two / "run").glob(".cache*"))
    for name in [*(f"cache/{file}" for file in files), "inputs.json", "teacher_embeddings.f16"]:
        assert (one / "run" / name).read_bytes() == (two / "run" / name).read_bytes(), name
    lines = [(folder / "run/metrics.jsonl").read_text().splitlines() for folder in (one, two)]
    for mine, shared in zip(*(map(json.loads, some) for some in lines), strict=True):
        # Weights differ in their last bits, which rounding to 8 bits may make a step of.
        assert shared == pytest.approx(mine, abs=2e-4 if mine["stage"] == "stage1" else 5e-3)
    reports = [json.loads((folder / "run/report.json").read_text()) for folder in (one, two)]
    for name in ("pairs", "split_by", "coverage", "curation", "bags"):
        assert reports[0][name] == reports[1][name]
    figures = [json.loads((folder / "figures.json").read_text()) for folder in (one, two)]
    assert figures[0] == figures[1]
    assert figures[0]["samples"] == 192
    assert "it" in figures[0]["refused"]
