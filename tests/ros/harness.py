"""Real nodes as processes, a probe that listens and calls, and small bags: what the ROS tests share."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import helper, numpy_helper
from std_srvs.srv import Trigger

from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import BagRecord, ByModality, Provenance
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog import types
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.node.client import Client
from edgevl_ros.node.dds import profile_variables
from edgevl_ros.node.qos import stream_qos
from tests.paths import ROOT

TIMEOUT_S = 120.0  # ends what hangs; a busy machine is slow
START_NS = 1_700_000_000_000_000_000
RGB_TOPIC, DEPTH_TOPIC = "camera/rgb/image_raw", "camera/depth/image_raw"
INFO_TOPIC, TRUTH_TOPIC = "camera/rgb/camera_info", "truth"
DEPTH_INFO_TOPIC = "camera/depth/camera_info"
FRAME_ID = "camera_optical_frame"
# For who counts images: best effort may lose some on a busy machine, and nobody tells.
RELIABLE = {"qos_reliability": "reliable", "qos_depth": 100}


def use_profile(monkeypatch: Any) -> None:
    """The Fast DDS profile that launch and demo set, for this process and the nodes it starts."""
    for name in profile_variables():
        monkeypatch.setenv(name, str(ROOT / "config/fastdds.xml"))


def node_command(name: str) -> list[str]:
    """What starts a node: the module, or the program in the colcon install that EDGEVL_COLCON_INSTALL names."""
    install = os.environ.get("EDGEVL_COLCON_INSTALL")
    if not install:
        return [sys.executable, "-m", f"edgevl_ros.nodes.{name}"]
    return built_command(Path(install), str(Path(install) / "edgevl/lib/edgevl" / name))


def built_command(install: Path, program: str) -> list[str]:
    """Run a program as a user of a colcon install does: its set-up sourced, nothing of this process's Python paths."""
    forget = "unset PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE"
    return ["sh", "-c", f'{forget}; . "$0/setup.sh"; exec "$@"', str(install), program]


class NodeProcess:
    """A node in a process of its own; its output is in ``log``."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*node_command(name), "--ros-args", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,  # relative defaults, such as out_dir, stay out of the source tree
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal (if it still runs) and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(TIMEOUT_S)

    def end(self) -> None:
        """Wait for its end after a signal. Killed only where it hangs: that leaves its shared memory behind."""
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Graph:
    """Starts nodes and asks them; everything it started ends with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.nodes: list[NodeProcess] = []
        self._client = Client("probe")
        self.probe = self._client.node
        self.watch, self.forget = self._client.watch, self._client.forget
        self._stats: dict[str, Callable[[], dict[str, str]]] = {}

    def start(self, executable: str, /, *arguments: str, **parameters: Any) -> NodeProcess:
        """Start a node with parameters and further ROS arguments; it is stopped at the end."""
        given = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_yaml(value)}")]
        log = self._directory / f"{len(self.nodes)}_{executable}.log"
        node = NodeProcess(executable, [*arguments, *given], log)
        self.nodes.append(node)
        self._client.forget_services(executable)  # it was matched with an earlier process
        return node

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], reliable: bool = True) -> None:
        """Listen to a topic with a deep queue."""
        self._client.subscribe(kind, topic, callback, stream_qos("reliable" if reliable else "best_effort", 500))

    def watch_stats(self, topic: str) -> Callable[[], dict[str, str]]:
        """What a node says of itself; told where a test fails."""
        self._stats[topic] = self._client.watch_stats(topic)
        return self._stats[topic]

    def wait_for_hearers(self, stats: Callable[[], dict[str, str]], key: str, number: int = 1) -> None:
        """Wait until a node's statistics count that many matched subscribers."""
        self.until(lambda: int(stats().get(key, 0)) >= number, f"{number} {key}")

    def start_player(self, bag: Path, **parameters: Any) -> Callable[[], dict[str, str]]:
        """Start a bag_player that stays, and waits for ``resume_player``; its counts."""
        stats = self._player = self.watch_stats("bag_player/status")
        common = {"exit_at_end": False, "start_paused": True, "start_delay_s": 0.0}
        self.start("bag_player", bag=str(bag), **{**common, **parameters})
        return stats

    def resume_player(self, *hearers: tuple[Callable[[], dict[str, str]], str, int]) -> None:
        """Let the player play once everyone listens: (statistics, key that counts matched ends, least number).

        Both ends must know each other: a best-effort subscriber that its publisher has found, but not the other
        way round, would miss the first messages; and so would a reliable one, for those before it is found.
        """
        for stats, key, number in hearers:
            self.wait_for_hearers(stats, key, number)
        for key, number in Counter(key.removeprefix("publishers_") for _, key, _ in hearers).items():
            if key in ("rgb", "depth", "camera_info", "depth_camera_info"):
                self.wait_for_hearers(self._player, f"subscribers_{key}", number)
        assert self.call(Trigger, "bag_player/resume").success

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
        """Spin until ``condition`` holds; its value. Fails with the nodes' output when it does not."""
        try:
            return self._client.until(condition, what, timeout_s)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._outputs()}") from error

    def call(self, kind: type, name: str, /, **fields: Any) -> Any:
        """Call a service; its response."""
        try:
            return self._client.call(kind, name, TIMEOUT_S, **fields)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._outputs()}") from error

    def _outputs(self) -> str:
        said = [f"--- {node.name}\n{node.output()}" for node in self.nodes]
        counted = [f"--- {topic}\n{stats() or ''}" for topic, stats in self._stats.items()]
        return "\n".join(said + counted)

    def close(self) -> None:
        """Leave the graph before the nodes do: Fast DDS may stand still for ever in a process that others leave.

        A node ends even so (edgevl_ros.node.exit_guard). Here it would stop the whole suite.
        """
        try:
            self._client.close()
        finally:
            for node in self.nodes:
                if node.process.poll() is None:
                    node.process.send_signal(signal.SIGINT)
            for node in self.nodes:
                node.end()


@contextmanager
def graph(directory: Path) -> Iterator[Graph]:
    """A Graph that is closed at the end; logs go to ``directory``."""
    opened = Graph(directory)
    try:
        yield opened
    finally:
        opened.close()


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n...\n").strip()


def write_bag(
    path: Path,
    *,
    frames: int,
    hz: float = 10.0,
    size: tuple[int, int] = (64, 48),
    depth_offset_ms: float = 0.0,
    without_depth: Mapping[int, bool] | range = range(0),
    seed: int = 0,
    depth_focal_px: float | None = None,
) -> Path:
    """A bag of noise with all four streams; depth is stamped ``depth_offset_ms`` after RGB.

    Args:
        size: width, height in pixels.
        without_depth: indices of frames whose depth is missing.
        depth_focal_px: depth's camera_info comes as a fifth stream, with this focal length; RGB's is 60.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    with BagWriter(path, min_free_bytes=0) as writer:
        writer.add_topic(RGB_TOPIC, types.IMAGE)
        writer.add_topic(DEPTH_TOPIC, types.IMAGE)
        writer.add_topic(INFO_TOPIC, types.CAMERA_INFO)
        writer.add_topic(TRUTH_TOPIC, types.SCENE_TRUTH)
        if depth_focal_px is not None:
            writer.add_topic(DEPTH_INFO_TOPIC, types.CAMERA_INFO)
        for k in range(frames):
            stamp = START_NS + round(k * 1e9 / hz)
            rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            depth_mm = rng.integers(300, 6000, (height, width), dtype=np.uint16)
            depth_stamp = stamp + round(depth_offset_ms * 1e6)
            messages = [
                (RGB_TOPIC, types.image_msg(rgb, "rgb8", stamp, FRAME_ID), stamp),
                (INFO_TOPIC, camera_info(60, size, stamp), stamp),
                (TRUTH_TOPIC, types.truth_msg("kitchen", "home_1", 0.5, stamp, FRAME_ID), stamp),
            ]
            if k not in without_depth:
                depth = types.image_msg(depth_mm, "16UC1", depth_stamp, FRAME_ID)
                messages.insert(1, (DEPTH_TOPIC, depth, depth_stamp))
                if depth_focal_px is not None:
                    messages.insert(2, (DEPTH_INFO_TOPIC, camera_info(depth_focal_px, size, depth_stamp), depth_stamp))
            for topic, message, at in messages:
                writer.write(topic, types.serialize(message), at)
    return path


def camera_info(focal_px: float, size: tuple[int, int], stamp_ns: int) -> Any:
    """Of a camera that looks straight ahead; ``size``: width, height in pixels."""
    centre = [(side - 1) / 2 for side in size]
    return types.camera_info_msg(*size, focal_px, focal_px, *centre, stamp_ns, FRAME_ID)


LABELS = ("kitchen", "bathroom", "bedroom", "office")


def write_student(path: Path, size_px: int, dim: int, convolutions: int, seed: int) -> Path:
    """A tiny real student, (N, 3, S, S) uint8 -> (N, D) float32 unit; ``convolutions`` make it slow."""
    rng = np.random.default_rng(seed)

    def constant(name: str, array: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(array), name)

    constants = [
        constant("zero_point", np.float32(128)),
        constant("unit", np.float32(64)),
        constant("widen", rng.normal(size=(64, 3, 1, 1)).astype(np.float32)),
        constant("mix", (rng.normal(size=(64, 64, 3, 3)) / 24).astype(np.float32)),
        constant("project", rng.normal(size=(64, dim)).astype(np.float32)),
    ]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "zero_point"], ["centred"]),
        helper.make_node("Div", ["centred", "unit"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "widen"], ["map0"]),
    ]
    for k in range(convolutions):
        nodes.append(helper.make_node("Conv", [f"map{k}", "mix"], [f"map{k + 1}"], pads=[1, 1, 1, 1]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"map{convolutions}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "project"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["N", 3, size_px, size_px])
    embedding = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", dim])
    graph = helper.make_graph(nodes, "student", [pixels], [embedding], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def write_test_bundle(
    path: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    size_px: int = 32,
    convolutions: int = 0,
    seed: int = 0,
    registered: str = "unknown",
) -> str:
    """A valid bundle around a random student; returns its bundle_id. ``registered``: depth of the bag it names."""
    dim = 16
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(labels), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bank = LabelBank(labels, tuple((f"a photo of a {n}",) for n in labels), tuple(() for _ in labels), vectors)
    student = write_student(path.with_suffix(".onnx"), size_px, dim, convolutions, seed)
    bag = BagRecord(name="drive", sha256="0" * 64, pairs=1, registered=registered)
    manifest = write_bundle(
        path,
        BundleContents(
            student_onnx=student,
            student_fp32_onnx=student,
            answering=Answering(
                preprocess=Preprocess(size_px=size_px),
                bank=bank,
                logit_scale=10.0,
                temperature=ByModality(rgb=1, depth=1, rgbd=1),
                unknown_threshold=ByModality(rgb=0, depth=0, rgbd=0),
            ),
            golden_pixels=rng.integers(0, 256, (2, 3, size_px, size_px), dtype=np.uint8),
            student="test",
            teacher="test",
            provenance=Provenance(created="2026-01-01T00:00:00Z", bags=(bag,)),
        ),
    )
    return manifest.bundle_id
