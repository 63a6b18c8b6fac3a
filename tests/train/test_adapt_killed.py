"""``edgevl adapt`` killed by SIGKILL at random moments of its run: resumed, it ends with what an unbroken run gives.

Once in ``make test``; ``make faults`` kills EDGEVL_FAULT_ROUNDS runs, at most 30, every third of them twice.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgevl_core.base.hashing import sha256_file
from edgevl_core.base.resources import resource
from edgevl_train.recipe import Recipe, dump_recipe
from tests.paths import ROOT

pytestmark = [pytest.mark.train, pytest.mark.faults]
ROUNDS = min(30, int(os.environ.get("EDGEVL_FAULT_ROUNDS", "1")))
COMMAND = "import sys, torch; torch.set_num_threads(1); from edgevl_cli.main import main; main()"


class Run:
    """A run directory, and the command that works in it."""

    def __init__(self, out: Path, bag: Path, teacher: Path, recipe: Recipe) -> None:
        self.out = out
        file = out.with_name("recipe.yaml")
        file.write_bytes(dump_recipe(recipe))
        words = ["adapt", bag, "--teacher", f"open_clip:@{teacher}", "--labels", resource("config/labels/home.yaml")]
        words += ["--recipe", file, "--out", out]
        self._command = [sys.executable, "-c", COMMAND, *map(str, words)]

    def work_until(self, progress: float, later_s: float) -> str:
        """Work until the run says to have done so much of it, and a moment longer; where it was cut off."""
        child = self._begin()
        while self.status().get("progress", -1.0) < progress and not _ended(child, 0.01):
            pass
        _ended(child, later_s)
        child.kill()
        ended = child.wait()
        status = self.status()
        return "finished" if ended == 0 else f"{status.get('stage', 'start')} {status.get('progress', 0.0):.0%}"

    def end(self) -> None:
        """Work to the end."""
        assert self._begin().wait() == 0, self._said().read_text()

    def status(self) -> dict[str, Any]:
        """What the run says of itself."""
        status = self.out / "status.json"
        return json.loads(status.read_text()) if status.is_file() else {}

    def _said(self) -> Path:
        return self.out.with_name("said.txt")

    def _begin(self) -> "subprocess.Popen[bytes]":
        command = self._command + (["--resume"] if self.out.exists() else [])
        with self._said().open("wb") as said:
            return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)


def _ended(child: "subprocess.Popen[bytes]", within_s: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(within_s)
    return child.returncode is not None


def made(run: Path) -> dict[str, object]:
    """Everything that a run delivers, without when it was made and how long that took."""
    report = json.loads((run / "report.json").read_text().replace(str(run), ""))
    manifest = json.loads((run / "bundle/manifest.json").read_text())
    del report["wall_s"], manifest["provenance"]["created"], manifest["bundle_id"]  # the id is of all the others
    files = [file for name in ("bundle", "bundle_ptq") for file in (run / name).rglob("*") if file.is_file()]
    hashes = {str(file.relative_to(run)): sha256_file(file) for file in files if file.name != "manifest.json"}
    return {"report": report, "manifest": manifest, "files": hashes}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_killed_at_a_random_moment_ends_as_an_unbroken_one(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    run = Run(tmp_path / "run", sim_bag, teacher_directory, run_recipe)
    # Below 0: before the run says anything.
    moments = [(draw.uniform(-0.1, 1.0), draw.uniform(0.0, 1.0)) for _ in range(2 if seed % 3 == 2 else 1)]
    where = [run.work_until(progress, later_s) for progress, later_s in moments]
    run.end()
    print(f"round {seed}: killed at {', '.join(where)}")
    assert run.status()["state"] == "succeeded"
    assert made(run.out) == made(finished_run)
