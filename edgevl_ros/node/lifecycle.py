"""What all nodes share: the life cycle, guarded callbacks, diagnostics.

Everything a node creates is registered on one of two exit stacks, so that deactivating and cleaning up undo
exactly what was done, in reverse, even after half a set-up.
"""

import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from edgevl_core.base.errors import UserError
from edgevl_ros.node.diagnostics import ERROR, WARN, Faults, Report, to_status
from edgevl_ros.node.names import check_name, topics_of
from edgevl_ros.node.overrides import doubts, parameter_files, read_sections
from edgevl_ros.node.parameters import NodeParameters, declare, read
from edgevl_ros.node.qos import LATCHED
from edgevl_ros.node.releases import RCLError

STATS_PERIOD_S = 0.5
BEFORE_CONFIGURE = ("unconfigured", "finalized")
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


P_co = TypeVar("P_co", bound=NodeParameters, covariant=True)


class ManagedNode(LifecycleNode, Generic[P_co]):
    """A lifecycle node whose callbacks never raise and whose resources end with the state they belong to.

    Attributes:
        parameters: as read by the last configure; the defaults before the first.
        until_cleanup, until_deactivate: exit stacks of what configure and activate created.
        subscriptions_end: exit stack of the subscriptions, which go after all else that activate created: should
            DDS get stuck in that (see exit_guard), bags are closed and children ended already.
        fault: the UserError of the last failed transition, if it was one.
        life: counts up with every clean-up; what waited meanwhile finds its publishers gone (see worker.in_this_life).
        doubts: parameter overrides without effect, one sentence each: logged once, in the diagnostics for good.
        exit_code: what the process returns.

    Raises:
        UserError: a parameter override is not acceptable, or a parameter file cannot be read.
    """

    def __init__(self, name: str, kind: type[P_co], stats_topic: str = "~/stats") -> None:
        super().__init__(name)
        self._kind = kind
        self.parameters = kind()
        self.until_cleanup, self.until_deactivate, self.subscriptions_end = ExitStack(), ExitStack(), ExitStack()
        self.faults = Faults()
        self.fault: UserError | None = None
        self.exit_code = 0
        self.finished = False
        self.state_label = "unconfigured"
        self.life = 0
        self._own_services: set[str] = set()
        declare(self, kind)
        self.doubts = self._doubts()
        for doubt in self.doubts:
            self.get_logger().warning(doubt)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        # A steady clock: with use_sim_time and no /clock the diagnostics still speak.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._stats = self.create_publisher(DiagnosticStatus, stats_topic, LATCHED)
        self.create_timer(1.0, self.guarded(self._publish_diagnostics), clock=self.steady_clock)
        self.create_timer(STATS_PERIOD_S, self.guarded(self.publish_stats), clock=self.steady_clock)

    # -- what a node provides ---------------------------------------------------------------------------

    def setup(self) -> None:
        """Configure: create publishers and services. May raise UserError."""
        raise NotImplementedError

    def start(self) -> None:
        """Activate: create subscriptions, timers and threads. May raise UserError."""
        raise NotImplementedError

    def report(self) -> Report:
        """The node's account of itself; called in every state after a successful configure."""
        raise NotImplementedError

    # -- creating things --------------------------------------------------------------------------------

    def add_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, **options: Any
    ) -> Any:
        """A guarded subscription until deactivation; ``options`` as rclpy's.

        Raises:
            UserError: ``topic`` can be no topic's name, or this node has it with another type.
        """
        check_name(self, topic, self.parameters)
        try:
            subscription = self.create_subscription(kind, topic, self.guarded(callback), qos, **options)
        except RCLError as error:
            raise UserError(f"{topic} cannot be subscribed to as {kind.__name__}: it has another type here") from error
        self.subscriptions_end.callback(self.destroy_subscription, subscription)
        return subscription

    def add_client(self, kind: type, name: str) -> Any:
        """A client that lives until clean-up. Raises UserError where ``name`` can be no service's name."""
        check_name(self, name, self.parameters)
        client: Any = self.create_client(kind, name)
        self.until_cleanup.callback(self.destroy_client, client)
        return client

    def add_publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """A publisher that lives until clean-up."""
        publisher: Any = self.create_publisher(kind, topic, qos)
        self.until_cleanup.callback(self.destroy_publisher, publisher)
        return publisher

    def add_service(self, kind: type, name: str, callback: Callable[..., Any]) -> None:
        """A guarded service from now until the node's end; ``callback(request, response)`` may be a coroutine.

        It outlives clean-up, and refuses then: taken down while a call waits, that call could never be answered.
        While it waits, images, timers and other services go on: in the node's own callback group, where one callback at
        a time may be under way, nothing would. The executor has one thread, so callbacks still never run together.
        """
        if name not in self._own_services:
            self.create_service(kind, name, self.guarded_service(callback), callback_group=ReentrantCallbackGroup())
            self._own_services.add(name)

    def add_timer(self, period_s: float, callback: Callable[[], object]) -> Any:
        """A guarded timer on a steady clock, until deactivation."""
        timer = self.create_timer(period_s, self.guarded(callback), clock=self.steady_clock)
        self.until_deactivate.callback(self.destroy_timer, timer)
        return timer

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """``callback`` that counts and logs its exceptions instead of raising them into the executor."""

        @functools.wraps(callback)
        def call(*arguments: Any) -> Any:
            try:
                return callback(*arguments)
            except Exception as error:
                self.add_error(getattr(callback, "__name__", "callback"), error)
                return None

        return call

    def guarded_service(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """A service callback whose exceptions become a refusal with the reason in ``message``."""

        async def call(request: Any, response: Any) -> Any:
            try:
                if self.state_label in BEFORE_CONFIGURE:
                    raise UserError(f"{self.get_name()} is {self.state_label}: configure it first")
                answer = callback(request, response)
                return await answer if hasattr(answer, "__await__") else answer
            except Exception as error:
                if not isinstance(error, UserError):
                    self.add_error(getattr(callback, "__name__", "callback"), error)
                setattr(response, "ok" if hasattr(response, "ok") else "success", False)
                response.message = str(error) or type(error).__name__
                return response

        return call

    def add_error(self, where: str, error: Exception) -> None:
        """Count an exception, log it (throttled) and degrade the diagnostics for a while. Thread-safe."""
        line = self.faults.add(where, error)
        if line is not None:
            detail = "" if isinstance(error, UserError) else "\n" + traceback.format_exc()
            self.get_logger().error(line + detail)

    def finish(self, exit_code: int = 0) -> None:
        """Ask the runner to stop the node and leave with ``exit_code``. Thread-safe."""
        self.exit_code = exit_code
        self.finished = True
        if self.executor is not None:
            self.executor.wake()

    # -- life cycle -------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        def configure() -> None:
            self.parameters = read(self, self._kind)
            self.setup()

        return self._attempt("configure", configure, "inactive", self.until_cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("activate", self.start, "active", self.until_deactivate, self.subscriptions_end)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._release(self.until_deactivate, "inactive", self.subscriptions_end)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._clean_up("unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.on_deactivate(state)
        return self._clean_up("finalized")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.on_deactivate(state)
        return self._clean_up("unconfigured")

    def end_work(self) -> None:
        """Stop what activation started, but for the subscriptions; deactivating does the rest."""
        self._release(self.until_deactivate, self.state_label)

    def _attempt(
        self, what: str, action: Callable[[], None], reached: str, *stacks: ExitStack
    ) -> TransitionCallbackReturn:
        self.fault = None
        try:
            action()
        except UserError as error:
            self.fault = error
            self.faults.add(what, error)
            self.get_logger().error(str(error))
        except Exception as error:
            self.add_error(what, error)
        else:
            self.state_label = reached
            if reached == "active":
                self.get_logger().info("active")
            return SUCCESS
        for stack in stacks:
            self._release(stack, self.state_label)
        return FAILURE

    def _clean_up(self, reached: str) -> TransitionCallbackReturn:
        self.life += 1
        return self._release(self.until_cleanup, reached)

    def _release(self, stack: ExitStack, reached: str, *more: ExitStack) -> TransitionCallbackReturn:
        self.state_label = reached
        for each in (stack, *more):
            try:
                each.close()
            except Exception as error:
                # The stack has still run to its end; the state is left, but the process tells that something failed.
                self.add_error("release", error)
                self.exit_code = 1
        return SUCCESS

    # -- diagnostics ------------------------------------------------------------------------------------

    def current_report(self) -> Report:
        """``report()`` with the life-cycle state and the errors on top."""
        report = Report(WARN, "") if self.state_label in BEFORE_CONFIGURE else self.report()
        if self.doubts:
            message = "; ".join(text for text in (report.message, *self.doubts) if text)
            report = Report(max(report.level, WARN), message, report.values)
        values = {"state": self.state_label, **report.values, "errors": self.faults.count}
        if self.faults.last:
            values["last_error"] = self.faults.last
        if self.fault is not None:  # until the next transition
            return Report(ERROR, f"{self.state_label}; {self.fault}", values)
        if self.faults.recent():
            return Report(ERROR, self.faults.last, values)
        if self.state_label != "active":
            message = f"{self.state_label}; {report.message}".rstrip("; ")
            return Report(max(report.level, WARN), message, values)
        return Report(report.level, report.message, values)

    def publish_stats(self) -> None:
        """Publish the latched statistics now. Thread-safe."""
        self._stats.publish(to_status(self.get_fully_qualified_name(), self.current_report()))

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray(status=[to_status(self.get_fully_qualified_name(), self.current_report())])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _doubts(self) -> list[str]:
        # rclpy shows its overrides to nobody else.
        overrides, declared = self._parameter_overrides, self._parameter_names()
        files = {path: read_sections(path) for path in parameter_files(sys.argv)}
        return doubts(self.get_fully_qualified_name(), overrides, declared, topics_of(self, declared), files)

    def _parameter_names(self) -> list[str]:
        return [field.name for field in fields(self._kind)]

    def _on_set_parameters(self, parameters: Sequence[Any]) -> SetParametersResult:
        names = set(self._parameter_names()) & {parameter.name for parameter in parameters}
        if names and self.state_label not in BEFORE_CONFIGURE:
            changed = ", ".join(sorted(names))
            reason = f"{self.get_name()} is {self.state_label}: {changed} can be changed when unconfigured"
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)
