"""pair_logger killed at random moments; ``make faults`` runs many rounds."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from edgevl_core.pairlog.reader import BagReader
from tests.ros.test_log_faults import Camera, readable

pytestmark = [pytest.mark.ros, pytest.mark.faults]
ROUNDS = int(os.environ.get("EDGEVL_FAULT_ROUNDS", "1"))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_pair_that_was_said_to_be_kept_is_there_after_sigkill(graph, tmp_path, seed):
    draw = random.Random(seed)
    camera = Camera(graph, tmp_path, name="log", sync_interval_s=draw.choice([0.0, 0.1, 0.5]), max_segment_mb=1.0)
    camera.drive(draw.randrange(5, 30))
    graph.until(lambda: camera.status() and camera.status().pairs_kept > 0, "the first pairs")
    end_s = time.monotonic() + draw.uniform(0.0, 1.5)
    graph.until(lambda: time.monotonic() > end_s, "a random moment")
    camera.node.process.send_signal(signal.SIGKILL)
    camera.node.wait()
    log = Path(camera.status().path)
    assert readable(log) >= camera.status().pairs_kept
    with BagReader(log) as reader:
        assert reader.losses  # it was not closed
