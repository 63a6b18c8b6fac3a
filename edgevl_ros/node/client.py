"""A client of the graph: listens, waits and calls services, from a program that is not itself a node of the robot."""

import gc
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from edgevl_ros.node.qos import LATCHED

# A server that has not yet found the client's side for answers drops its answer after 0.1 s, and ROS 2 shows a client
# only that its own side is ready: hence the wait before a first call.
CLIENT_SETTLES_S = 0.4
SPIN_S = 0.05


class Client:
    """One node with its executor, in a context of its own. Nothing happens but while it waits.

    Args:
        options: as rclpy's Node takes them, such as ``namespace``.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        try:
            self.node = Node(name, context=self._context, **options)
        except Exception:
            rclpy.try_shutdown(context=self._context)
            raise
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._latest: dict[str, Any] = {}
        self._services: dict[str, Any] = {}

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile | int) -> None:
        """Call ``callback`` with every message."""
        self.node.create_subscription(kind, topic, callback, qos)

    def watch(self, kind: type, topic: str) -> Callable[[], Any]:
        """Listen to a latched topic; the result gives its latest message, None before the first."""
        self._latest[topic] = None
        self.subscribe(kind, topic, lambda message: self._latest.__setitem__(topic, message), LATCHED)
        return lambda: self._latest[topic]

    def watch_stats(self, topic: str) -> Callable[[], dict[str, str]]:
        """Listen to a node's statistics; the result gives the latest as a mapping, empty before the first."""
        latest = self.watch(DiagnosticStatus, topic)

        def values() -> dict[str, str]:
            status = latest()
            return {} if status is None else {pair.key: pair.value for pair in status.values}

        return values

    def has(self, topic: str) -> bool:
        """Whether a watched topic has a latest message."""
        return self._latest[topic] is not None

    def forget(self, topic: str) -> None:
        """Let a watched topic have no latest message again."""
        self._latest[topic] = None

    def until(
        self, condition: Callable[[], Any], what: str, timeout_s: float, alive: Callable[[], None] = lambda: None
    ) -> Any:
        """Handle messages until ``condition`` holds; its value. ``alive`` may raise when waiting has become pointless.

        Raises:
            TimeoutError: ``what`` did not happen within ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{what} did not happen in {timeout_s:g} s")
            alive()
            self._executor.spin_once(timeout_sec=SPIN_S)
        return value

    def spin(self, seconds: float, stop: Callable[[], object] = lambda: False) -> None:
        """Handle messages for so long, or until ``stop`` says so."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and not stop():
            self._executor.spin_once(timeout_sec=SPIN_S)

    def call(self, kind: Any, name: str, timeout_s: float, /, **fields: Any) -> Any:
        """Call a service with a request of these fields; its response.

        Raises:
            TimeoutError: no such service, or no answer, within ``timeout_s``.
        """
        future = self._service(kind, name, timeout_s).call_async(kind.Request(**fields))
        self.until(future.done, f"an answer of {name}", timeout_s)
        return future.result()

    def forget_services(self, node: str) -> None:
        """The next call to a service of ``node`` looks for it anew: another process may offer it."""
        for name in [name for name in self._services if name.startswith(f"{node}/")]:
            self.node.destroy_client(self._services.pop(name))

    def _service(self, kind: type, name: str, timeout_s: float) -> Any:
        if name not in self._services:
            service: Any = self.node.create_client(kind, name)
            self.until(service.service_is_ready, f"service {name} to appear", timeout_s)
            settled_s = time.monotonic() + CLIENT_SETTLES_S
            self.until(lambda: time.monotonic() > settled_s, "the client to settle", timeout_s)
            self._services[name] = service
        return self._services[name]

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(timeout_sec=0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)
        # Else DDS threads would live on into the interpreter's end, where they can hang.
        gc.collect()
