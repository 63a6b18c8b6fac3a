"""Real rooms in small: photos make a teacher, 200 real pairs a student, and rooms that it has not seen judge it."""

import json
from pathlib import Path

import pytest
import real_rooms as benchmark

pytestmark = [pytest.mark.real, pytest.mark.train]
ROWS = {"supervised head", "majority class", "teacher", "float", "PTQ int8", "PTQ, sums kept", "int8"}


@pytest.fixture
def real_rooms(real_data: Path) -> Path:
    if missing := [part for part in ("real_rooms", "models") if not (real_data / part).is_dir()]:
        pytest.skip(f"EDGEVL_REAL_DATA={real_data} has no {', '.join(missing)}")
    return real_data


def test_a_student_of_real_rooms_beats_the_commonest_room(real_rooms: Path, tmp_path: Path) -> None:
    command = ["--quick", "--work", str(tmp_path), "--json", str(tmp_path / "found.json")]
    assert benchmark.main(command) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    by = found["rows"]["by"]
    assert set(by) == ROWS
    chance = by["majority class"]["rgb"]["macro"][0]
    assert chance == pytest.approx(0.2, abs=0.01)
    # So few photos and pairs, at 64 px, teach little; a student that follows its teacher not at all has chance.
    for kind, more in (("teacher", 0.1), ("float", 0.03), ("int8", 0.03)):
        assert by[kind]["rgb"]["macro"][0] > chance + more
    for figures in by.values():
        for figure in figures.values():
            value, low, high = figure["top1"]
            assert low <= value <= high
    assert set(found["raw"]) == {"pairs", "holes", "cosine", "agreement", "whole", "punched"}
    assert 0.01 < found["raw"]["holes"] < 0.9
    # Sequences of the fold that judges are in no bag that was learned from.
    assert found["rows"]["sequences"] > 10


def test_without_the_data_the_benchmark_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEVL_REAL_DATA", str(tmp_path))
    assert benchmark.main(["--work", str(tmp_path / "work")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "EDGEVL_REAL_DATA" in line
    assert not (tmp_path / "work").exists()
