import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.evaluation.report import write_report

pytestmark = pytest.mark.unit
GREEN, GREY = (0x68, 0xA8, 0x55), (0xCC, 0xCC, 0xCC)


def made_up_run(run: Path, kept: dict[str, int], merged: tuple[str, ...] = ()) -> Path:
    """A finished run's two files with invented numbers; ``kept`` of 100 candidates per label."""
    run.mkdir()
    lines = [
        {"stage": stage, "epoch": epoch, "loss_rgb": 1 / epoch, "loss_depth": 1.5 / epoch, "agree_rgb": 1 - 0.5 / epoch}
        for stage in ("stage1", "stage2")
        for epoch in (1, 2, 3)
    ]
    agreement = {"rgb": 0.9, "depth": 0.8, "rgbd": 0.93}
    report = {
        "pairs": {"train": 900, "val": 100},
        "split_by": "time",
        "students": {name: {"agreement": agreement, "bytes": 3_000_000} for name in ("fp32", "ptq", "int8")},
        "curation": {
            name: {"candidates": 100 if count else 0, "kept": count, "dropped": 100 - count, "merged": list(merged)}
            for name, count in kept.items()
        },
    }
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "report.json").write_text(json.dumps(report))
    return run


def curation_panel(run: Path) -> np.ndarray:
    """(H, W, 3) int, the right fifth of the picture."""
    image = cv2.imread(str(write_report(run)))
    return image[:, image.shape[1] * 4 // 5 :].astype(int)


def share_of(panel: np.ndarray, bgr: tuple[int, int, int]) -> float:
    return float((np.abs(panel - bgr).max(2) < 4).mean())


def test_bars_show_what_curation_kept_and_dropped(tmp_path: Path) -> None:
    most = curation_panel(made_up_run(tmp_path / "a", {"kitchen": 90, "office": 80}))
    few = curation_panel(made_up_run(tmp_path / "b", {"kitchen": 20, "office": 10}))
    assert share_of(most, GREEN) > 3 * share_of(few, GREEN) > 0
    assert share_of(few, GREY) > 3 * share_of(most, GREY) > 0


def test_labels_beyond_the_most_frequent_are_left_out(tmp_path: Path) -> None:
    few = curation_panel(made_up_run(tmp_path / "a", {f"place {i}": 50 for i in range(24)}))
    many = curation_panel(made_up_run(tmp_path / "b", {f"place {i}": 50 for i in range(60)}))
    assert share_of(many, GREEN) == pytest.approx(share_of(few, GREEN), rel=0.02)


@pytest.mark.filterwarnings("error")
def test_a_merged_student_has_no_curve_of_losses_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    run = made_up_run(tmp_path / "run", {"kitchen": 50})
    (run / "metrics.jsonl").write_text(json.dumps({"stage": "stage2", "epoch": 0, "agree_rgb": 0.5}) + "\n")
    assert write_report(run).read_bytes().startswith(b"\x89PNG")


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metrics\.jsonl and no report\.json"):
        write_report(tmp_path)
