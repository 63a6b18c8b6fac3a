"""benchmarks/pruned.py and bits.py run through from a finished run, and go on where they were cut off."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train: pip install '.[train]'")

import bits
import pruned

pytestmark = [pytest.mark.train, pytest.mark.slow]


def test_both_tables_are_made_of_a_finished_run(
    finished_run: Path, sim_bag: Path, teacher_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(finished_run), str(sim_bag), "--teacher", f"open_clip:@{teacher_directory}", "--test", str(sim_bag)]
    for main, more, rows in (
        (pruned.main, ["--shares", "0.5"], ["run", "pruned 0.5", "narrow 0.5", "trained on"]),
        (bits.main, ["--trained", "4-tensor"], [f"{scheme}, PTQ" for scheme in bits.SCHEMES] + ["4-tensor, stage 2"]),
    ):
        work = tmp_path / main.__module__
        for _ in range(2):
            assert main([*words, *more, "--work", str(work), "--json", str(work / "table.json")]) == 0
        found = json.loads((work / "table.json").read_text())
        assert sorted(found) == sorted(rows)
        assert "top-1" in capsys.readouterr().out
