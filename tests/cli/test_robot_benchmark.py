"""benchmarks/robot.py: its figures are held to their bounds, and a run of its quickest part works."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from robot_parts.rows import Row

from tests.paths import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "bounds", "reached"),
    [
        (3.0, {}, None),
        (3.0, {"most": 3.0}, True),
        (3.1, {"most": 3.0}, False),
        (2.9, {"least": 3.0}, False),
        (2.0, {"least": 1.0, "most": 3.0}, True),
        (math.nan, {"most": 3.0}, False),
    ],
)
def test_a_figure_is_held_to_its_bounds(value: float, bounds: dict[str, float], reached: bool | None) -> None:
    assert Row("part", "figure", value, **bounds).reached is reached


def test_the_quickest_part_runs(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, ROOT / "benchmarks/robot.py", "--parts", "pairing", "--json", file]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["streams with fewer pairs than it"]["reached"] is True
    assert "ApproximateTimeSynchronizer" in result.stdout
