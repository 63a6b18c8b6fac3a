"""benchmarks/one_home.py: its figures are held to their bounds, by home and by seed."""

from typing import Any

import pytest
from one_home_parts.table import bounds, show

pytestmark = pytest.mark.unit


def run(rgb: float, depth: float, both: float = 0.99) -> dict[str, Any]:
    lit = {"rgb": rgb, "depth": depth, "rgbd": both}
    caught = {name: {"caught": 0.8, "by_threshold": 0.7, "false_unknown": 0.1} for name in lit}
    return {"light": {"1.0": lit, "0.3": lit}, "unknown": caught}


def figures(worst: float) -> dict[str, Any]:
    """Two seeds, two homes; the second home's RGB from scratch is ``worst``."""
    found: dict[str, Any] = {"teacher/0": run(0.9, 0.3), "teacher/1": run(0.9, 0.3)}
    for seed in "01":
        found[f"base/{seed}"] = {"rgb": 0.9, "depth": 0.9, "rgbd": 0.9}
        for home in "01":
            found[f"scratch/{seed}/{home}"] = run(0.99 if home == "0" else worst, 0.95)
            before = {"rgb": 0.95, "depth": 0.9, "rgbd": 0.95}
            others = {"rgb": 0.895, "depth": 0.87, "rgbd": 0.9}
            found[f"adapted/{seed}/{home}"] = run(0.98, 0.96) | {"before": before, "others": others, "deploy": True}
        right = {"rgb": 0.9, "depth": 0.7, "rgbd": 0.9}
        found[f"words/{seed}/0/0.75"] = {"teacher": right | {"rgb": 1.0}, "base": right, "adapted": right}
        found[f"strict/{seed}/0"] = {"teacher": right, "student": right | {"depth": 0.1}}
    return found


def test_bounds_are_of_means_worst_homes_and_losses(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row.what: row for row in bounds(figures(0.80))}
    assert rows["from scratch, rgb"].figure == pytest.approx((0.99 + 0.80) / 2)
    assert not rows["from scratch, rgb"].reached
    assert rows["from scratch, rgb, worst home"].figure == pytest.approx(0.80)
    assert rows["from a base, depth, least gain of a home"].figure == pytest.approx(0.06)
    assert rows["lost on other homes, rgb"].reached
    assert not rows["lost on other homes, depth"].reached
    assert rows["words never entered, replay 0.75: under the teacher"].figure == pytest.approx(0.2)
    assert rows["words of no bag: under the teacher"].figure == pytest.approx(0.4)
    assert rows["adapted, light 0.3: both - better camera"].figure == pytest.approx(0.01)
    show(list(rows.values()), figures(0.80))
    told = capsys.readouterr().out
    assert "not reached" in told
    assert "the decision was to deploy in 4 of 4 homes" in told
