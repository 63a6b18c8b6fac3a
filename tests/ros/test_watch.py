"""``edgevl watch`` beside real nodes: it tells their own figures, and ends by Ctrl-C without a trace."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.ros import harness

pytestmark = pytest.mark.ros
COMMAND = [sys.executable, "-m", "edgevl_cli.main", "watch"]


@contextmanager
def watching(*arguments: str) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def first(process: "subprocess.Popen[str]", wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first object of ``edgevl watch --json`` for which ``wanted`` holds; it writes one a second."""
    assert process.stdout is not None
    last = ""
    for _ in range(int(harness.TIMEOUT_S)):
        last = process.stdout.readline()
        assert last, process.stderr.read() if process.stderr else ""
        if wanted(seen := json.loads(last)):
            return seen
    raise AssertionError(last)


def test_the_nodes_own_figures_are_told(graph, tmp_path):
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20)
    stats = graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"))
    graph.start("pair_logger", directory=str(tmp_path), min_free_mb=0.0, min_interval_s=0.1)
    graph.start("adaptation_manager", out_dir=str(tmp_path / "runs"))
    graph.start_player(bag, loop=True, start_paused=False)
    with watching("--json") as process:
        # An answer, although nobody else asks for any; both cameras at their rate; pairs in the log; who is not there.
        seen = first(
            process,
            lambda seen: (
                seen["scene"]
                and seen["scene"]["hz"] > 1
                and min(seen["cameras"].get(stream, 0) for stream in ("rgb", "depth")) > 10
                and seen["log"]
                and seen["log"]["pairs_kept"] > 0
                and seen["adaptation"]
                and "room_mapper" in seen["not_heard"]
                and "bag_player" in seen["nodes"]
            ),
        )
        assert seen["scene"]["label"] in harness.LABELS
        assert seen["scene"]["label"] == max(seen["scene"]["scores"], key=seen["scene"]["scores"].get)
        assert (seen["scene"]["bundle_id"], seen["scene"]["modality"]) == (bundle_id, "rgbd")
        assert max(seen["cameras"].values()) < 40
        assert seen["log"]["state"] == "logging"
        assert seen["log"]["path"].startswith(str(tmp_path))
        assert {"scene_classifier", "pair_logger", "bag_player"} <= set(seen["nodes"])
        assert (seen["adaptation"]["state"], seen["adaptation"]["eta_s"]) == ("idle", None)
        assert (seen["rooms"], seen["elsewhere"]) == (None, [])
        # It listens to the classifier's answers as a viewer does, and no more once it has ended.
        graph.until(lambda: stats().get("scene_subscribers") == "1", "the watcher among the listeners")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=harness.TIMEOUT_S)
        assert (process.returncode, said) == (0, "")
    graph.until(lambda: stats().get("scene_subscribers") == "0", "the watcher to be gone")


def test_a_terminal_gets_a_screen_and_its_own_back(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20)
    graph.start("scene_classifier", "-r", "__ns:=/blue", bundle=str(tmp_path / "bundle"))
    graph.start("bag_player", "-r", "__ns:=/blue", bag=str(bag), loop=True)
    stats = graph.watch_stats("/blue/scene_classifier/stats")
    graph.until(lambda: int(stats().get("received_rgb", 0)) > 5, "the classifier to hear the camera")

    # In the wrong namespace nobody speaks; the line says where they are.
    with watching("--once") as process:
        out, said = process.communicate(timeout=harness.TIMEOUT_S)
        assert (process.returncode, out) == (2, "")
        assert "pass --namespace /blue" in said
        assert len(said.splitlines()) == 1
    with watching("--once", "--namespace", "blue") as process:
        out, said = process.communicate(timeout=harness.TIMEOUT_S)
        assert (process.returncode, said) == (0, "")
        assert "cameras: RGB" in out

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        [*COMMAND, "--namespace", "/blue"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while b"a second" not in shown:  # an answer
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # so a terminal ends whose program has left
            while more := os.read(ours, 65536):
                shown += more
        assert process.wait(harness.TIMEOUT_S) == 0
    os.close(ours)
    assert b"edgevl watch /blue" in shown
    assert b"Traceback" not in shown
    assert shown.index(b"\x1b[?1049h") < shown.rindex(b"\x1b[?1049l")  # the other screen, and back
