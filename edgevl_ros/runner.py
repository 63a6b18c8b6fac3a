"""Run one node in one process: signals, autostart, spinning, a clean end.

One executor thread runs every callback, so the nodes need no locks among callbacks; work that takes long
(inference, writing, pacing, a child process) has a thread of its own in the node that needs it.
"""

import signal
from collections.abc import Callable
from types import FrameType

import rclpy
from rclpy.exceptions import ROSInterruptException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from edgevl_core.errors import UserError
from edgevl_ros.managed import ManagedNode

# A signal is seen when the wait set wakes up; this bounds the wait.
WAKE_S = 0.1


def run(create: Callable[[], ManagedNode], arguments: list[str] | None = None) -> int:
    """Run the node that ``create`` makes until SIGINT, SIGTERM or ``node.finish()``; returns the exit code.

    0: ended cleanly; 2: the user's input is wrong (one line was logged); 1: our fault.
    """
    stopping: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    # rclpy's own handlers would invalidate the context before the node could close its bag and say good-bye.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        return _run(create, stopping)
    except UserError as error:
        get_logger("edgevl").error(str(error))
        return 2
    finally:
        rclpy.try_shutdown()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(create: Callable[[], ManagedNode], stopping: list[int]) -> int:
    node = create()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value and not autostart(node):
            return 2 if node.fault is not None else 1
        while not stopping and not node.finished:
            executor.spin_once(timeout_sec=WAKE_S)
    except (ExternalShutdownException, ROSInterruptException):
        node.get_logger().info("the ROS context was shut down from outside")
    finally:
        stop(node)
        executor.shutdown(timeout_sec=0)
        node.destroy_node()
    return node.exit_code


def autostart(node: ManagedNode) -> bool:
    """Configure and activate; False where either was refused (the node has logged why)."""
    return (
        node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        and node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    )


def stop(node: ManagedNode) -> None:
    """Deactivate and clean up from whichever state the node is in."""
    if node.state_label == "active":
        node.trigger_deactivate()
    if node.state_label == "inactive":
        node.trigger_cleanup()
