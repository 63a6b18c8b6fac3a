"""Subscriptions to what the nodes of one robot say. Nothing is published and no service is called."""

import math
import time
from collections.abc import Callable
from functools import partial

from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import AdaptationStatus, LoggerStatus, RoomMap, SceneClass
from rclpy.exceptions import InvalidNamespaceException

from edgevl_core.base.errors import UserError
from edgevl_core.watch.heard import CLASSIFIER, LOGGER, MANAGER, MAPPER, NODES, PLAYER, Heard
from edgevl_core.watch.seen import Adaptation, Log, Scene, Seen
from edgevl_ros.node.client import Client
from edgevl_ros.node.exit_guard import exit_within
from edgevl_ros.node.qos import LATCHED, result_qos

LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warn", DiagnosticStatus.ERROR: "error"}
LEAVE_S = 4


class Listener:
    """Hears the nodes of one namespace, while it waits.

    Raises:
        UserError: ``namespace`` can be none.
    """

    def __init__(self, namespace: str = "") -> None:
        try:
            # Parameter services and /rosout would be for others, and this node has nothing to say.
            self._client = Client(
                "edgevl_watch", namespace=namespace, start_parameter_services=False, enable_rosout=False
            )
        except InvalidNamespaceException as error:
            raise UserError(
                f"--namespace {namespace}: letters, digits and '_' are accepted, in parts parted by '/', none of which "
                "begins with a digit"
            ) from error
        self._heard = Heard(time.monotonic())
        for node in NODES:
            topic = f"{node}/{'status' if node == PLAYER else 'stats'}"
            self._client.subscribe(DiagnosticStatus, topic, partial(self._on_stats, node), LATCHED)
        self._client.subscribe(SceneClass, f"{CLASSIFIER}/scene", self._on_scene, result_qos())
        self._client.subscribe(LoggerStatus, f"{LOGGER}/status", self._on_log, LATCHED)
        self._client.subscribe(AdaptationStatus, f"{MANAGER}/status", self._on_adaptation, LATCHED)
        self._client.subscribe(RoomMap, f"{MAPPER}/rooms", self._on_rooms, LATCHED)

    def listen(self, seconds: float, stop: Callable[[], object] = lambda: False) -> Seen:
        """Hear for so long, or until ``stop`` says so; what there is to see then."""
        self._client.spin(seconds, stop)
        return self._heard.seen(time.monotonic(), self._elsewhere())

    def close(self) -> None:
        """Leave the graph; the process ends within seconds, whatever DDS does."""
        exit_within(LEAVE_S, 0)
        self._client.close()

    def _elsewhere(self) -> tuple[str, ...]:
        own = self._client.node.get_namespace()
        found = {space for name, space in self._client.node.get_node_names_and_namespaces() if name in NODES}
        return tuple(sorted(found - {own}))

    def _on_stats(self, node: str, message: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in message.values}
        self._heard.stats(node, LEVELS.get(message.level, "error"), message.message, values, time.monotonic())

    def _on_scene(self, message: SceneClass) -> None:
        scores = dict(zip(message.labels, message.scores))
        scene = Scene(
            label=message.label,
            confidence=message.confidence,
            known=message.known,
            modality=message.modality,
            scores=scores,
            latency_ms=message.latency_ms,
            bundle_id=message.bundle_id,
        )
        self._heard.scene(scene, time.monotonic())

    def _on_log(self, message: LoggerStatus) -> None:
        log = Log(
            state=message.state,
            pairs_kept=message.pairs_kept,
            dropped=dict(zip(message.dropped_reasons, message.dropped_counts)),
            bytes=message.bytes,
            mb_per_s=message.mb_per_s,
            free_bytes=message.free_bytes,
            path=message.path,
            scenes=dict(zip(message.scenes, message.scene_counts)),
        )
        self._heard.log(log)

    def _on_adaptation(self, message: AdaptationStatus) -> None:
        adaptation = Adaptation(
            state=message.state,
            stage=message.stage,
            progress=message.progress,
            eta_s=message.eta_s if math.isfinite(message.eta_s) else None,
            message=message.message,
            bundle_path=message.bundle_path,
        )
        self._heard.adaptation(adaptation)

    def _on_rooms(self, message: RoomMap) -> None:
        self._heard.rooms(tuple(room.label for room in message.rooms))
