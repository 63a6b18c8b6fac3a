"""Source archive and wheel in a clean environment: the robot's set (`make extras` tries every extra)."""

import subprocess
import sys

import pytest
import tomllib

from edgevl_build.extras import ROBOT, TRIES
from tests.paths import ROOT


@pytest.mark.unit
def test_what_is_tried_is_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(TRIES) - {ROBOT} <= set(extras)


@pytest.mark.unit
def test_an_extra_that_is_none_is_refused() -> None:
    run = [sys.executable, "-m", "edgevl_build.extras", "trian"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "trian: accepted are robot, train," in done.stderr


@pytest.mark.slow
def test_the_robots_set_installs_from_archive_and_wheel_without_torch() -> None:
    run = [sys.executable, "-m", "edgevl_build.extras", ROBOT]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert "no torch" in done.stdout.splitlines()[-1]
