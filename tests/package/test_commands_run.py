"""Commands of the documents, executed as they stand there, on the ready-made files of `edgevl demo --quick`.

Every command of the documents is executed here, or stands in ELSEWHERE with who executes it or why nobody does.
"""

import re
import shlex
from pathlib import Path

import pytest

from edgevl_cli.demo.quick import BUNDLE, DRIVES
from tests.cli.command import edgevl
from tests.package.test_commands import ALL
from tests.paths import ROOT

pytestmark = pytest.mark.unit

# The names that the documents give to a bag, a folder or a bundle of the reader's, and what they are here.
READERS = {
    "quick": "quick",
    "BAG": DRIVES["lit"],
    "bags/train": DRIVES["lit"],
    "bags/test": DRIVES["dark"],
    "home": DRIVES["lit"],
    "BUNDLE": BUNDLE,
    "run/bundle": BUNDLE,
}
# Beginnings of commands. The rest of a command may name files: what it makes stays in the test's own folder.
EXECUTED = (
    "edgevl demo --quick",
    "edgevl doctor",
    "edgevl log info BAG",
    "edgevl log info bags/train",
    "edgevl log view",
    "edgevl log recover",
    "edgevl map",
    "edgevl evaluate run/bundle BAG",
    "edgevl classify",
    "edgevl bundle show",
    "edgevl export BAG --to webdataset",
)
SYSTEM, CI, DATA = "installs or sets up this machine", "what CI does, or does by hand", "needs a public data set"
ROBOT, TUTORIAL = "needs ros2's own command line, and mostly a robot", "executed by test_tutorial.py (slow)"
# Beginnings of commands, the longest that fits counts: who executes them with other names, or why nobody does.
ELSEWHERE = {
    "edgevl --install-completion": SYSTEM,
    "edgevl doctor --live": "tests/ros/test_doctor.py",
    "edgevl watch": "needs running nodes",
    "edgevl map home --bundle run/bundle --out rooms --pose": "tests/cli/test_map.py",
    "edgevl log info BAG --rgb": "tests/cli/test_command_line.py",
    "edgevl sim": "tests/cli/test_command_line.py",
    "edgevl teacher pretrain": TUTORIAL,
    "edgevl adapt": TUTORIAL,
    "edgevl merge": "tests/train/test_merge.py",
    "edgevl split": "tests/cli/test_split.py",
    "edgevl bundle sign cut": "tests/core/offload/test_cut_student.py",
    "python benchmarks/gpu.py": "tests/cli/test_gpu_benchmark.py",
    "edgevl compare": "tests/train/test_compare.py",
    "edgevl report": TUTORIAL,
    "edgevl demo": "by hand: ten minutes",
    "edgevl benchmark": "tests/cli/test_benchmark.py",
    "edgevl bundle make": "tests/train/test_first_bundle.py",
    "edgevl export BAG --to lerobot": "tests/train/datasets/test_export.py",
    "edgevl import tars": "tests/train/datasets/test_export.py",
    "edgevl import": DATA,
    "edgevl evaluate runs/": DATA,
    "edgevl evaluate": TUTORIAL,
    "pair_logger": "tests/ros/test_nodes.py",
    "base_station": "tests/ros/test_offload.py",
    "python benchmarks/robot.py": "tests/cli/test_robot_benchmark.py",
    "python": "by hand",
    "tensorboard": "shows what tests/train looks at",
    "ros2": ROBOT,
    "torchrun": "tests/train",
    "make": CI,
}
for word in (
    "source",
    "export",
    "cd",
    ".",
    "pip",
    "git",
    "apt",
    "touch",
    "python3",
    "colcon",
    "cp",
    "chmod",
    "openssl",
):
    ELSEWHERE[word] = SYSTEM


def begins(line: str, beginning: str) -> bool:
    return line == beginning or line.startswith(beginning if beginning.endswith("/") else beginning + " ")


def executed(line: str) -> bool:
    """Whether this file executes it; what ELSEWHERE names more exactly is not."""
    here = max((len(each) for each in EXECUTED if begins(line, each)), default=0)
    return here > max((len(each) for each in ELSEWHERE if begins(line, each)), default=0)


LINES = sorted({shlex.join(words) for _, words in ALL})
HERE = [line for line in LINES if executed(line)]


@pytest.mark.parametrize("line", HERE)
def test_a_command_does_its_work(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.startswith("edgevl evaluate"):
        pytest.importorskip("torch", reason="edgevl evaluate belongs to the workstation")
    for name, stands_for in READERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / stands_for)
    monkeypatch.chdir(tmp_path)
    done = edgevl(*shlex.split(line)[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    for made in re.findall(r"--out (\S+)", line):
        assert (tmp_path / made).exists()


def test_every_command_is_executed_or_it_is_said_why_not() -> None:
    unknown = [line for line in LINES if not executed(line) and not any(begins(line, each) for each in ELSEWHERE)]
    assert not unknown, f"neither in EXECUTED nor in ELSEWHERE: {unknown}"
    assert len(HERE) >= 10
    for beginning in EXECUTED:
        assert any(begins(line, beginning) for line in LINES), f"{beginning}: no document says this any more"
    files = [where for where in ELSEWHERE.values() if where.startswith("tests/")]
    assert all((ROOT / where).exists() for where in files)
