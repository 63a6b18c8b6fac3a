"""Ctrl-C in a long run: exit code 130, what was done is kept, and one line says the command that goes on."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevl_core.base.resources import resource
from edgevl_train.recipe import Recipe, dump_recipe
from tests.paths import ROOT
from tests.train.test_json_of_runs import MODEL

pytestmark = pytest.mark.train
PROGRAM = "import sys, torch; torch.set_num_threads(1); from edgevl_cli.main import main; main()"
SAID = "edgevl: interrupted; to go on: "
LONGEST_S = 300.0


def begin(words: list[str]) -> "subprocess.Popen[str]":
    """A program as a terminal starts it, whatever this test's own parent does with Ctrl-C."""
    command = [sys.executable, "-c", PROGRAM, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupt(words: list[str], when: Callable[[], bool]) -> None:
    """Press Ctrl-C once ``when`` holds; what is said, and the exit code, are as promised."""
    with begin(words) as run:
        deadline_s = time.monotonic() + LONGEST_S
        while not when():
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < deadline_s, "it did not get so far"
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=LONGEST_S)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith(SAID)]
    assert shlex.split(line.removeprefix(SAID)) == ["edgevl", *words, "--resume"]


def test_adapt_keeps_what_it_did(sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path) -> None:
    """That the same command with ``--resume`` ends as an unbroken run does is the business of test_adapt_killed.py."""
    out, recipe = tmp_path / "a run", tmp_path / "recipe.yaml"
    recipe.write_bytes(dump_recipe(run_recipe))
    words = ["adapt", str(sim_bag), "--teacher", f"open_clip:@{teacher_directory}", "--out", str(out)]
    words += ["--labels", str(resource("config/labels/home.yaml")), "--recipe", str(recipe)]

    interrupt(words, (out / "checkpoints/stage1.pt").is_file)
    status = json.loads((out / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("cancelled", 130)
    assert (out / "inputs.json").is_file()


def test_pretrain_keeps_what_it_did(sim_bag: Path, tmp_path: Path) -> None:
    """That ``--resume`` goes on from there is the business of pretrain/test_photos.py."""
    words = ["teacher", "pretrain", str(sim_bag), "--out", str(tmp_path / "clip"), "--set", MODEL]
    words += ["--set", "text_steps=2", "--set", "batch=16", "--epochs", "50"]
    work = tmp_path / ".clip.pretraining"
    interrupt(words, (work / "metrics.jsonl").is_file)
    assert list((work / "checkpoints").glob("*.pt"))
    assert not (tmp_path / "clip").exists()
