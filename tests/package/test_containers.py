"""Dockerfiles and workflow name what is there. No engine builds them here: what can be told from their text is."""

import re
from pathlib import Path

import pytest
import yaml

from tests.paths import ROOT

pytestmark = pytest.mark.unit
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """(instruction, the rest of it), lines joined, comments left out."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_a_dockerfile_builds_from_the_locks_and_leaves_root(file: Path) -> None:
    steps = instructions(file)
    known = {"FROM", "ARG", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD"}
    assert {name for name, _ in steps} <= known
    assert all(re.match(r"[a-z]+:\d+\.\d+-", image) for name, image in steps if name == "FROM"), "pin the image"
    made = [rest for name, rest in steps if name == "RUN" and rest.startswith("make ")]
    assert len(made) == 1
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made[0].split()[1] in targets
    users = [rest for name, rest in steps if name == "USER"]
    assert users
    assert users[-1] != "root"
    assert [name for name, _ in steps][-1] == "CMD"
    for rest in (rest for name, rest in steps if name == "RUN" and "apt-get install" in rest):
        assert "--no-install-recommends" in rest
        assert "rm -rf /var/lib/apt/lists" in rest
    for path in re.findall(r"=/edgevl/(\S+)", file.read_text(encoding="utf-8")):
        assert (ROOT / path).exists()


def test_both_are_there() -> None:
    assert [file.stem for file in DOCKERFILES] == ["robot", "workstation"]


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert "make docs" in steps
    assert workflow["permissions"] == {"contents": "read"}
