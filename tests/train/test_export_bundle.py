"""What is measured of an exported student, and on which pairs."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_train.data.cache import Cache
from edgevl_train.data.run_data import RunData
from edgevl_train.data.views import draw_views
from edgevl_train.export_bundle import measure
from edgevl_train.sections import CalibrationSection, PreprocessSection, ViewsSection
from tests.core.tiny import COLOURS, SIZE_PX, colour_bank, colour_image, write_student

pytestmark = pytest.mark.train


@pytest.mark.parametrize("stands", [True, False])
def test_figures_are_of_validation_pairs_whatever_calibrates(stands: bool, tmp_path: Path) -> None:
    """A student that is right of all training pairs and of one in four others."""
    bank, rows = colour_bank().vectors, np.arange(48)
    kind = rows % 3
    kind[rows >= 40] = [0, 0, 1, 1, 1, 1, 1, 1]  # eight pictures of red, two of which the teacher calls red
    pictures = np.stack([colour_image(name, SIZE_PX, SIZE_PX) for name in COLOURS])
    pixels = pictures[np.where(rows < 40, kind, 0)]
    cache = Cache(pixels, pixels, pixels, pixels, rows * 10**9, np.zeros(48, np.int64), {"key": "made up"})
    targets, views = bank[kind][None].astype(np.float16), draw_views(48, ViewsSection(count=1), 0)
    data = RunData(cache, views, targets, rows[:40], rows[40:], kind, bank, 5.0, stands)
    student = write_student(tmp_path / "student.onnx")
    found = measure(student, data, PreprocessSection(), CalibrationSection()).calibration
    assert found.agreement.rgb == found.agreement.depth == 0.25
    # Red and green lie as far from each other as the bank has it.
    assert found.cosine.rgb == pytest.approx(0.25 + 0.75 * float(bank[0] @ bank[1]), abs=0.05)
    assert (found.temperature.rgb < 4) == (not stands), found.temperature  # training pairs make it sure
