"""Every command answers machines: ``--json -`` leaves one JSON object on standard output, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edgevl_cli.main import app
from edgevl_sim import write_bag
from tests.cli.json_answers import answer_of
from tests.core.tiny import write_colour_bundle

pytestmark = pytest.mark.unit
# Words of a command; BAG, BUNDLE, KEY and OUT are put in. What its answer holds.
HERE = {
    "sim": ("sim --out OUT --homes 1 --frames-per-room 1 --workers 1", {"frames", "homes", "path"}),
    "export": ("export BAG --to webdataset --out OUT", {"pairs", "losses"}),
    "import": ("import EXPORTED --out OUT", {"pairs", "unreadable"}),
    "log info": ("log info BAG", {"pairing", "health"}),
    "log view": ("log view BAG --out OUT.html", {"page", "health"}),
    "log recover": ("log recover BAG --out OUT", {"path", "messages", "losses"}),
    "map": ("map BAG --bundle BUNDLE --out OUT", {"frames", "rooms"}),
    "classify": ("classify BAG --bundle BUNDLE", {"bundle_id", "frames", "lost"}),
    "bundle keys new": ("bundle keys new OUT.pem", {"public_key", "fingerprint"}),
    "bundle keys show": ("bundle keys show KEY", {"public_key", "fingerprint"}),
    "bundle sign": ("bundle sign BUNDLE --key KEY", {"bundle", "public_key"}),
    "bundle show": ("bundle show BUNDLE", {"bundle_id", "metrics", "provenance"}),
    "bundle verify": ("bundle verify BUNDLE", {"bundle_id", "signed", "signer_checked", "unchecked"}),
}
# Run where there is a run, or a robot, to run them on.
ELSEWHERE = {
    "tests/train/test_json_of_runs.py": {"teacher pretrain", "adapt", "evaluate", "report", "bundle make"},
    "tests/train/test_merge.py": {"merge"},
    "tests/cli/test_split.py": {"split"},
    "tests/train/test_compare.py": {"compare"},
    "tests/cli/test_benchmark.py": {"benchmark"},
    "tests/ros/test_watch.py": {"watch"},
}
# The exit code tells what doctor thinks of this machine; demo writes summary.json.
DOCTOR, WITHOUT = "doctor", {"demo"}


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    for name, each in command.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(each, "commands"):
            yield from leaves(each, words)
        else:
            yield words, each


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One drive, one bundle, one key, one export, for all."""
    folder = tmp_path_factory.mktemp("json")
    found = {name: folder / name.lower() for name in ("BAG", "BUNDLE", "KEY", "EXPORTED")}
    write_bag(found["BAG"], seed=0, split="val", homes=1, frames_per_room=1, workers=1)
    write_colour_bundle(found["BUNDLE"])
    app(["bundle", "keys", "new", str(found["KEY"])], standalone_mode=False)
    app(["export", str(found["BAG"]), "--to", "webdataset", "--out", str(found["EXPORTED"])], standalone_mode=False)
    return found


@pytest.mark.parametrize("name", HERE)
def test_a_command_answers_in_json(
    name: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, keys = HERE[name]
    words = [
        str(tmp_path / word.lower()) if word.startswith("OUT") else str(places.get(word, word)) for word in line.split()
    ]
    said = answer_of(capsys, *words)
    assert keys <= set(said), said.keys()


def test_doctor_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    ended = app([DOCTOR, "--json", "-"], standalone_mode=False)

    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"ok", "what", "fix"} == set(findings[0])
    # A small shared memory, say, is a fault of the machine.
    assert (ended or 0) == (2 if any(finding["ok"] is False for finding in findings) else 0)


def test_no_command_is_left_out() -> None:
    commands = dict(leaves(typer.main.get_command(app)))
    tested = set(HERE).union({DOCTOR}, *ELSEWHERE.values())
    assert set(commands) == tested | WITHOUT
    without = {name for name, each in commands.items() if not any("--json" in option.opts for option in each.params)}
    assert without == WITHOUT
