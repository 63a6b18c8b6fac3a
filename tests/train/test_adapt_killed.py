"""``edgevl adapt`` killed by SIGKILL at random moments of its run: resumed, it ends with what an unbroken run gives.

Once in ``make test``; ``make faults`` kills EDGEVL_FAULT_ROUNDS runs, at most 30, every third of them twice.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.resources import resource
from edgevl_train.recipe import Recipe, dump_recipe
from tests.paths import ROOT

pytestmark = [pytest.mark.train, pytest.mark.faults]
ROUNDS = min(30, int(os.environ.get("EDGEVL_FAULT_ROUNDS", "1")))
START_S = 6.0  # until a process has loaded torch and its inputs
COMMAND = "import sys, torch; torch.set_num_threads(2); from edgevl_cli.main import main; main()"


class Run:
    """A run directory, and the command that works in it."""

    def __init__(self, out: Path, bag: Path, teacher: Path, recipe: Recipe) -> None:
        self.out = out
        file = out.with_name("recipe.yaml")
        file.write_bytes(dump_recipe(recipe))
        words = ["adapt", bag, "--teacher", f"open_clip:@{teacher}", "--labels", resource("config/labels/home.yaml")]
        words += ["--recipe", file, "--out", out]
        self._command = [sys.executable, "-c", COMMAND, *map(str, words)]

    def is_killed(self, after_s: float) -> bool:
        """Work for so long; whether that was cut off."""
        child = self._begin()
        try:
            child.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return True
        assert child.returncode == 0
        return False

    def end(self) -> None:
        """Work to the end."""
        child = self._begin()
        said, _ = child.communicate()
        assert child.returncode == 0, said

    def _begin(self) -> "subprocess.Popen[str]":
        command = self._command + (["--resume"] if self.out.exists() else [])
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def made(run: Path) -> dict[str, object]:
    """Everything that a run delivers, without when it was made and how long that took."""
    report = json.loads((run / "report.json").read_text().replace(str(run), ""))
    manifest = json.loads((run / "bundle/manifest.json").read_text())
    del report["wall_s"], manifest["provenance"]["created"], manifest["bundle_id"]  # the id is of all the others
    files = [file for name in ("bundle", "bundle_ptq") for file in (run / name).rglob("*") if file.is_file()]
    hashes = {str(file.relative_to(run)): sha256_file(file) for file in files if file.name != "manifest.json"}
    status = json.loads((run / "status.json").read_text())
    return {"report": report, "manifest": manifest, "files": hashes, "state": status["state"]}


def took_s(run: Path) -> float:
    """How long a finished run has been at work, with its start."""
    return START_S + (run / "report.json").stat().st_mtime - (run / "recipe.yaml").stat().st_mtime


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_killed_at_a_random_moment_ends_as_an_unbroken_one(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    run = Run(tmp_path / "run", sim_bag, teacher_directory, run_recipe)
    whole_s, done = took_s(finished_run), []
    for _ in range(2 if seed % 3 == 2 else 1):
        killed = run.is_killed(after_s := draw.uniform(0.0, whole_s))
        done.append(f"{after_s:.1f} of {whole_s:.1f} s, {stage(run.out) if killed else 'finished'}")
    run.end()
    print(f"round {seed}: {'; '.join(done)}")
    assert made(run.out) == made(finished_run)


def stage(run: Path) -> str:
    """Where a run was cut off."""
    status = run / "status.json"
    return json.loads(status.read_text()).get("stage", "?") if status.is_file() else "before its status"
