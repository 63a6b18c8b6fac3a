"""pair_logger's log without a graph: an image is decoded once, whatever is done to it."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevl_core.camera import images
from edgevl_core.pairing.frames import DEPTH, RGB, Received
from edgevl_core.pairing.pair_matcher import PairMatcher
from edgevl_core.pairlog.compressing import depth_png_msg, jpeg_msg
from edgevl_core.pairlog.frame_selection import FrameSelector
from edgevl_core.pairlog.pair_log import PairLog
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.types import image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.logger.log_directory import LogDirectory, what_is_logged
from edgevl_ros.logger.parameters import LoggerParameters

pytestmark = pytest.mark.unit
PAIRS = 10
START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
RAW = {"rgb_topic": "rgb", "depth_topic": "depth"}
COMPRESSED = {"rgb_topic": "rgb/compressed", "depth_topic": "depth/compressedDepth"}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every message whose pixels are asked for, in whichever module."""
    asked: list[Any] = []
    real = images.decode_as_it_is

    def counting(message: Any) -> Any:
        asked.append(message)
        return real(message)

    for module in [module for name, module in sys.modules.items() if name.startswith("edgevl_")]:
        if getattr(module, real.__name__, None) is real:
            monkeypatch.setattr(module, real.__name__, counting)
    return asked


@pytest.mark.parametrize("topics", [RAW, COMPRESSED], ids=["raw", "compressed"])
@pytest.mark.parametrize("log_images", ["as_received", "compressed"])
@pytest.mark.parametrize("log_scale", [1.0, 0.5])
def test_each_image_is_decoded_once(
    decoded: list[Any], tmp_path: Path, topics: dict[str, str], log_images: str, log_scale: float
) -> None:
    given = LoggerParameters(**topics, camera_info_topic="", log_images=log_images, log_scale=log_scale)
    open_writer = partial(BagWriter, min_free_bytes=0)
    log = PairLog(tmp_path / "log", what_is_logged(given), PairMatcher(0.02), FrameSelector(), open_writer)
    rng = np.random.default_rng(0)
    for stamp_ns in range(START_NS, START_NS + PAIRS * PERIOD_NS, PERIOD_NS):
        rgb, depth = rng.integers(0, 256, (48, 64, 3), np.uint8), rng.integers(300, 6000, (48, 64), np.uint16)
        if topics is RAW:
            messages = image_msg(rgb, "rgb8", stamp_ns, "c"), image_msg(depth, "16UC1", stamp_ns, "c")
        else:
            messages = jpeg_msg(rgb, stamp_ns, "c"), depth_png_msg(depth, stamp_ns, "c")
        for stream, message in zip((RGB, DEPTH), messages):
            log.add_image(stream, Received(stamp_ns, serialize(message), 0.0))
    log.close()
    assert log.pairs_kept == PAIRS
    assert len(decoded) == 2 * PAIRS
    [shape] = {pair.rgb.shape for pair in read_pairs(tmp_path / "log")}
    assert shape == (round(48 * log_scale), round(64 * log_scale), 3)


def test_a_log_in_a_relative_directory_is_told_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hears of it may have another working directory."""
    monkeypatch.chdir(tmp_path)
    log = LogDirectory(LoggerParameters(directory="logs", name="home", min_free_mb=0.0), lambda line: None).open()
    log.close()
    assert log.path == tmp_path / "logs/home"
