"""The demo's offline figures: which file each student's are of."""

from pathlib import Path

import pytest

from edgevl_cli.demo.evaluation import offline_figures
from tests.core.tiny import write_colour_bundle, write_student
from tests.train.evaluation.test_evaluate import write_rooms

pytestmark = pytest.mark.train


def test_the_float_student_is_the_one_that_ptq_was_made_of(teacher_directory: Path, tmp_path: Path) -> None:
    """Stage 2 has a float form of its own: beside PTQ it would show what quantisation did not cost."""
    labels = tmp_path / "labels.yaml"
    labels.write_text("templates: ['{}']\nlabels: [{name: red}, {name: green}, {name: blue}]\n")
    write_colour_bundle(tmp_path / "bundle")
    blind = write_student(tmp_path / "blind.onnx", gain=(-1, -1, -1))
    write_colour_bundle(tmp_path / "bundle_ptq", student_fp32_onnx=blind)
    bag = write_rooms(tmp_path / "bag")
    found = offline_figures(tmp_path, f"open_clip:@{teacher_directory}", bag, labels, lambda pairs: None)
    top1 = {name: figures["rgb"] for name, figures in found["top1"].items()}
    assert (top1["student_fp32"], top1["ptq_int8"], top1["student_int8"]) == (0, 1, 1)
    assert found["size_bytes"]["student_fp32"] == blind.stat().st_size
