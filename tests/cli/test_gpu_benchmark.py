"""benchmarks/gpu.py: all of it runs through, at tiny sizes, and says so where there is no GPU."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train: pip install '.[train]'")

import torch
from gpu import main

pytestmark = pytest.mark.train


def test_every_check_runs_through_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cpu", "--json", str(tmp_path / "gpu.json")]) == 0
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    checked = [row["check"].split(",")[0].split()[0] for row in rows]
    assert checked == ["peak", "stage", "stage", "teacher", "CPU", "CPU"]
    assert all(row["figures"] and not row["fault"] for row in rows)
    assert "passed" in capsys.readouterr().out


def test_what_fails_or_comes_too_late_is_a_row_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cpu", "--most-s", "-1", "--checks", "multiply", "serve"]) == 1
    table, _, text = capsys.readouterr().out.partition("{")
    rows = json.loads("{" + text)["rows"]
    assert [row["check"] for row in rows] == ["multiply", "serve"]
    assert "left out" in rows[0]["fault"]
    assert "failed" in table


def test_without_a_gpu_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    assert "finds no NVIDIA GPU" in told.err
