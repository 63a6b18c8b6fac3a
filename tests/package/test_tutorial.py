"""docs/tutorial.md from its first command to its last, as it stands there, in a folder of its own."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = [pytest.mark.train, pytest.mark.slow]
# A reader types them in the source tree; the last one calls a node.
NOT_HERE = ("make", "source", "ros2")


def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.split()[0] not in NOT_HERE]
    assert len(lines) > 10
    for folder in ("config", "quick"):  # the tutorial is read in the source tree
        (tmp_path / folder).symlink_to(ROOT / folder)
    for line in lines:
        program, *words = shlex.split(line.split(" #")[0])
        assert program == "edgevl"
        command = [sys.executable, "-m", "edgevl_cli.main", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False)
        assert done.returncode == 0, f"{line}:\n{done.stdout}{done.stderr}"
    for made in ("run/bundle/manifest.json", "run/report.html", "rooms/rooms.png", "demo_quick/picture.png"):
        assert (tmp_path / made).is_file(), made
