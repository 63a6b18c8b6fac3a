"""Run one node in one process: signals, autostart, spinning, a clean end.

One executor thread runs every callback, so the nodes need no locks among callbacks; work that takes long
(inference, writing, pacing, a child process) has a thread of its own in the node that needs it.
"""

import faulthandler
import gc
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException, ROSInterruptException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from edgevl_core.base.errors import UserError
from edgevl_core.base.memory import keep_memory_small
from edgevl_ros.node.executor import new_executor, signals_wake
from edgevl_ros.node.exit_guard import exit_within
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.overrides import parameter_files, read_sections
from edgevl_ros.node.parameters import NodeParameters, accepted, table
from edgevl_ros.node.releases import RCLError

# A signal wakes the executor (signals_wake); this bounds what a wake that got lost would cost.
LONGEST_WAIT_S = 1.0
# What is left to do when the node's own work has ended takes a few hundred milliseconds.
LEAVE_S = 4
AFTER_ERROR_S = 0.01  # an error that comes each round leaves the core to others


def run(create: Callable[[], ManagedNode[NodeParameters]], kind: type[NodeParameters], about: str) -> int:
    """Run the node that ``create`` makes until SIGINT, SIGTERM or ``node.finish()``; returns the exit code.

    0: ended cleanly; 2: the user's input is wrong (one line was logged); 1: our fault. With --help nothing is run:
    ``about`` and the node's parameters, of this ``kind``, are printed.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(about, kind))
        return 0
    faulthandler.enable()  # a crash in DDS says in which of our calls it was
    keep_memory_small()
    stopping: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        init()
        return _run(create, stopping)
    except UserError as error:
        get_logger("edgevl").error(str(error))
        return 2
    finally:
        rclpy.try_shutdown()
        # Node and callbacks refer to each other. Left to the interpreter's end, their DDS threads would be ended
        # while Python itself is half gone, which now and then never returns.
        gc.collect()
        for number, handler in previous.items():
            signal.signal(number, handler)


def init() -> None:
    """Start rclpy with the command line's ROS arguments. Raises UserError where they cannot be understood."""
    for path in parameter_files(sys.argv):
        read_sections(path)  # one line that names the file, where rcl has two
    try:
        # rclpy's own handlers would invalidate the context before the node could close its bag and say good-bye.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RCLError as error:
        raise UserError(f"ROS arguments: {_reason(error)}: see --help for the parameters") from error


def _reason(error: Exception) -> str:
    """What rcl says, in one line, without where in its source."""
    said = str(error).removeprefix("failed to initialize rcl: ").removeprefix("error creating node: ")
    return " ".join(said.split(", at /")[0].split())


def _run(create: Callable[[], ManagedNode[NodeParameters]], stopping: list[int]) -> int:
    try:
        node = create()
    except RCLError as error:
        raise UserError(
            f"this node cannot join the graph: {_reason(error)}: see RMW_IMPLEMENTATION, ROS_SECURITY_*"
        ) from error
    except ParameterException as error:  # of a parameter that rclpy itself declares: use_sim_time
        raise UserError(f"ROS arguments: {_reason(error)}: see --help for the parameters") from error
    executor = new_executor(str(node.get_parameter("executor").value))
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value and not autostart(node) and not _stays(node):
            node.exit_code = 2 if node.fault is not None else 1
            return node.exit_code
        with signals_wake(executor):
            while not stopping and not node.finished:
                _spin_once(node, executor)
    except (ExternalShutdownException, ROSInterruptException):
        node.get_logger().info("the ROS context was shut down from outside")
    finally:
        stop(node)
        executor.shutdown(timeout_sec=0.0)
        node.destroy_node()
    return node.exit_code


def _spin_once(node: ManagedNode[NodeParameters], executor: Any) -> None:
    """One round. What rclpy itself makes of a message, such as a /clock with a negative time, must not end the node."""
    try:
        executor.spin_once(timeout_sec=LONGEST_WAIT_S)
    except (ExternalShutdownException, ROSInterruptException):
        raise
    except Exception as error:
        node.add_error("rclpy", error)
        time.sleep(AFTER_ERROR_S)


def _stays(node: ManagedNode[NodeParameters]) -> bool:
    """Whether a node whose start was refused waits for better parameters; it says how to go on."""
    if node.fault is None or not node.get_parameter("stay_when_refused").value:
        return False
    transition = "activate" if node.state_label == "inactive" else "configure"
    node.get_logger().warning(
        f"stays {node.state_label}; once that is mended: "
        f"ros2 lifecycle set {node.get_fully_qualified_name()} {transition}"
    )
    return True


def autostart(node: ManagedNode[NodeParameters]) -> bool:
    """Configure and activate; False where either was refused (the node has logged why)."""
    return (
        node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        and node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    )


def stop(node: ManagedNode[NodeParameters]) -> None:
    """Deactivate and clean up from whichever state the node is in; the process ends soon, whatever DDS does."""
    node.end_work()
    exit_within(LEAVE_S, node.exit_code)
    if node.state_label == "active":
        node.trigger_deactivate()
    if node.state_label == "inactive":
        node.trigger_cleanup()


def help_text(about: str, kind: type[NodeParameters]) -> str:
    """What --help prints: the module's text and every parameter with its default."""
    lines = [about.strip(), "", "Parameters (--ros-args -p name:=value, or --params-file FILE):"]
    for parameter in table(kind):
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        lines.append(f"  {parameter.name} = {default!r}")
        lines.append(f"      {parameter.description} ({accepted(parameter)})")
    return "\n".join(lines)
