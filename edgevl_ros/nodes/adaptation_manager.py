"""adaptation_manager: runs ``edgevl adapt`` beside the robot's work; the classifier gets the new bundle.

One adaptation at a time, in a child process with low priority, here or on a workstation. A service or a trigger starts
it and a latched topic tells how it goes: that is all an action would add, in a form that `ros2 service call` can drive.
A bundle that is not better than the current one is kept, but not loaded.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from edgevl.msg import AdaptationStatus, LoggerStatus
from edgevl.srv import LoadBundle
from rclpy.client import Client
from rclpy.task import Future
from std_srvs.srv import Trigger

from edgevl_core.adaptation.acceptance import outdated
from edgevl_core.adaptation.adaptation import Adaptation
from edgevl_core.adaptation.records import BundleRef, Plan, Progress, log_file
from edgevl_core.adaptation.state import Life, after_load, after_resume, after_rollback, previous
from edgevl_core.adaptation.triggers import due
from edgevl_core.base.errors import UserError
from edgevl_ros.adaptation.bundle_loader import BundleLoader, Outcome
from edgevl_ros.adaptation.messages import new_status, put_progress
from edgevl_ros.adaptation.robot_state import RobotState
from edgevl_ros.adaptation.settings import AdaptationParameters, settings
from edgevl_ros.node.diagnostics import ERROR, OK, WARN, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.own_directory import hold_directory
from edgevl_ros.node.qos import LATCHED
from edgevl_ros.node.runner import run
from edgevl_ros.node.worker import in_thread

# After a trigger that could not start anything (no log yet, say).
RETRY_S = 600.0
ON_REQUEST = "asked for by service"


class AdaptationManager(ManagedNode[AdaptationParameters]):
    """See the module's text. ~/adapt, ~/cancel, ~/rollback; ~/status (edgevl/AdaptationStatus, latched)."""

    def __init__(self) -> None:
        super().__init__("adaptation_manager", AdaptationParameters)
        self._loading: BundleLoader | None = None
        self._retry_at_s = 0.0
        self._not_resumed = ""  # why the classifier does not have the bundle that it had last
        self._now = new_status("idle")

    def setup(self) -> None:
        self._settings = settings(self.parameters)
        hold_directory(self, self._settings.directory, "out_dir")
        self._adaptation = Adaptation(self._settings.directory)
        self._robot_state = RobotState()
        self._status = self.add_publisher(AdaptationStatus, "~/status", LATCHED)
        self.add_service(Trigger, "~/adapt", self._on_adapt)
        self.add_service(Trigger, "~/cancel", self._on_cancel)
        self.add_service(Trigger, "~/rollback", self._on_rollback)
        service = self.parameters.classifier_service
        self._loader = self.add_client(LoadBundle, service) if service else None

    def start(self) -> None:
        self.until_deactivate.callback(self._stop_work)
        self._robot_state.listen(self, self._on_logger)
        if (plan := self._adaptation.find()) is not None:
            self._started(plan, "found again")
        self.add_timer(self.parameters.status_period_s, self._poll)
        self._publish()

    # -- starting ---------------------------------------------------------------------------------------

    def _begin(self, reason: str) -> Plan:
        if self._adaptation.at_work or self._loading is not None:
            raise UserError("an adaptation runs already, or a bundle is being loaded: wait for it, or call ~/cancel")
        plan = self._settings.plan(self._current(), self._adaptation.memory.pairs.open_log(), reason)
        self._adaptation.begin(plan, self.parameters.niceness)
        self._started(plan, reason)
        return plan

    def _started(self, plan: Plan, how: str) -> None:
        self._now = new_status("running", "starting")
        self._say(how, f"adaptation in {plan.run} ({how}), output in {log_file(plan.run)}")

    def _start_if_due(self) -> None:
        """Start unasked where a trigger says so."""
        if self.state_label != "active":
            return
        reason = due(self._settings.rules, self._robot_state.seen(self._adaptation.memory))
        if not reason or time.monotonic() < self._retry_at_s:
            return
        try:
            self._begin(reason)
        except UserError as error:
            self._retry_at_s = time.monotonic() + RETRY_S
            self._say(f"not started ({reason}): {error}")

    def _on_logger(self, status: LoggerStatus) -> None:
        before = self._adaptation.memory.pairs
        after = before.see(status.path, status.pairs_kept, status.state == "logging")
        if (after.closed, after.path, after.ended) != (before.closed, before.path, before.ended):
            self._remember(pairs=after)
        else:  # a count that grows is not worth a write to disk
            self._adaptation.memory.pairs = after

    # -- services ---------------------------------------------------------------------------------------

    def _on_adapt(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._must_be_active()
        response.success, response.message = True, str(self._begin(ON_REQUEST).run)
        return response

    async def _on_cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        plan = self._adaptation.at_work
        if plan is None:
            raise UserError("no adaptation is running: nothing to cancel")
        cancelled = await in_thread(self, lambda: self._adaptation.end(self.parameters.cancel_grace_s))
        self._poll()
        if not cancelled:
            raise UserError(f"{plan.run} had ended already: nothing to cancel, ~/status tells how")
        response.success, response.message = True, f"cancelled {plan.run}"
        return response

    async def _on_rollback(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._must_be_active()
        if self._loader is None:
            raise UserError("parameter classifier_service is empty: nobody to load the earlier bundle")
        if self._loading is not None:
            raise UserError("a bundle is being loaded: try again when that is done")
        target = previous(history := self._adaptation.memory.history, self._current())
        answer: Future[Outcome] = Future()

        def rolled_back(outcome: Outcome) -> None:
            if outcome.state == "loaded":  # at once: its label set, which may have come, is judged by the history
                self._now.bundle_path, self._now.bundle_id = target.path, target.id
                self._say(f"rolled back to {target.path}" + self._remember(history=after_rollback(history, target)))
            answer.set_result(outcome)

        self._hand_over(self._loader, target, rolled_back)
        outcome = cast(Outcome, await answer)
        if outcome.state != "loaded":
            raise UserError(f"not rolled back to {target.path}: {outcome.message}")
        response.success, response.message = True, self._now.message
        return response

    def _must_be_active(self) -> None:
        if self.state_label != "active":
            raise UserError(f"adaptation_manager is {self.state_label}: activate it first")

    # -- progress and end -------------------------------------------------------------------------------

    def _poll(self, stopping: bool = False) -> None:
        if self._loading is not None:
            if self._loading.poll():
                self._loading = None
        elif not stopping and self._resume():
            return
        elif (plan := self._adaptation.at_work) is not None:
            progress = self._adaptation.look()
            if progress is not None:
                self._show_progress(plan, progress)
        else:
            self._start_if_due()
            return
        self._publish()

    def _show_progress(self, plan: Plan, progress: Progress) -> None:
        put_progress(self._now, progress, "" if plan.reason == ON_REQUEST else plan.reason)
        if progress.state != "running":
            self._use_or_refuse(plan, progress)

    def _use_or_refuse(self, plan: Plan, ended: Progress) -> None:
        """A job has ended: its bundle to the classifier, or the reason why not."""
        if ended.state != "succeeded":
            self._end_job(ended.state, ended.message)
        elif refused := ended.refused or (outdated(plan.current, self._current()) if plan.held_back else ""):
            self._end_job("succeeded", f"bundle not loaded: {refused}")
        elif self._loader is None:
            self._end_job("succeeded", ended.message or "done")
        else:
            self._now.stage, self._now.progress = "load", 1.0
            self._now.message = "the classifier tests the bundle"
            made = BundleRef(path=ended.bundle_path, id=ended.bundle_id)
            self._hand_over(self._loader, made, partial(self._loaded, self._current()))

    def _loaded(self, before: BundleRef | None, outcome: Outcome) -> None:
        if outcome.state == "abandoned":
            self._now.state = "succeeded"
            self._say(f"bundle not loaded yet: {outcome.message}")
            return  # the job stays in memory: the next life of this node goes on from here
        if outcome.state == "loaded":
            loaded = BundleRef(path=self._now.bundle_path, id=outcome.bundle_id)
            self._remember(history=after_load(self._adaptation.memory.history, before, loaded))
        self._end_job("failed" if outcome.state == "refused" else "succeeded", outcome.message)

    def _end_job(self, state: str, message: str) -> None:
        self._now.state = state
        self._say(message + self._remember(job=None))
        if removed := self._adaptation.tidy(self.parameters.keep_bundles, self._current()):
            self.get_logger().info(f"removed old runs: {', '.join(path.name for path in removed)}")

    def _resume(self) -> bool:
        """Hand a classifier that has begun anew what it should have; whether that is under way."""
        client, memory = self._loader, self._adaptation.memory
        if client is None or not client.service_is_ready() or (found := self._robot_state.news(memory)) is None:
            return False
        if found.resume is None:
            self._remember(life=found.life, history=found.history)
            self._tell_not_resumed(found.given_up)
            return False
        self._remember(resumed_s=after_resume(memory.resumed_s, time.time()))  # first: it may end this machine, too
        self._hand_over(client, found.resume, partial(self._resumed, found.resume, found.life))
        return True

    def _resumed(self, bundle: BundleRef, life: Life, outcome: Outcome) -> None:
        if outcome.state in ("absent", "abandoned"):
            return  # the classifier or this node has ended: its next life is heard of in the same way
        self._remember(life=life)
        if outcome.state == "loaded":  # not in ~/status, which tells how the last adaptation ended
            self.get_logger().info(f"{bundle.path}, which was in use last, is in use again")
        else:
            self._tell_not_resumed(f"{bundle.path}, which was in use last, is not taken up again: {outcome.message}")

    def _tell_not_resumed(self, why: str) -> None:
        self._not_resumed = why
        if why:
            self.get_logger().warning(why)

    def _hand_over(self, client: "Client[Any, Any]", bundle: BundleRef, then: Callable[[Outcome], None]) -> None:
        def done(outcome: Outcome) -> None:
            if outcome.state == "loaded":
                self._not_resumed = ""
                self._robot_state.loaded(outcome.bundle_id)
            then(outcome)

        self._loading = BundleLoader(client, bundle, self.parameters.load_timeout_s, done)

    def _stop_work(self) -> None:
        self._abandon_loading()
        if self._adaptation.at_work:
            if self.parameters.end_child_on_stop:
                self._adaptation.end(self.parameters.cancel_grace_s)
            self._poll(stopping=True)  # it may have ended by itself since the last time
            self._abandon_loading()
        self._adaptation.let_go()

    def _abandon_loading(self) -> None:
        if self._loading is not None:
            self._loading.abandon()
            self._loading = None

    def _remember(self, **changes: object) -> str:
        """What has happened is known at once, and after a restart; "" or, as a further clause, why only at once."""
        try:
            self._adaptation.remember(**changes)
        except UserError as error:
            self.add_error("memory", error)
            return f"; a restart will not know of it: {error}"
        return ""

    # -- what is known and told -------------------------------------------------------------------------

    def _current(self) -> BundleRef | None:
        """The bundle in use: the classifier's, or before it has been heard of, the last that was loaded."""
        return self._robot_state.bundle(self._adaptation.memory.history)

    def _say(self, message: str, to_log: str = "") -> None:
        self._now.message = message
        self._publish()
        line = to_log or f"adaptation {self._now.state}: {message}"
        if self._now.state == "failed":  # two calls: rclpy's logger refuses one that changes its severity
            self.get_logger().error(line)
        else:
            self.get_logger().info(line)

    def _publish(self) -> None:
        self._now.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(self._now)

    def report(self) -> Report:
        now, adaptation = self._now, self._adaptation
        values = {"adaptation": now.state, "stage": now.stage, "progress": now.progress, "bundle_id": now.bundle_id}
        values |= {"new_pairs": adaptation.memory.pairs.closed, "open_log": adaptation.memory.pairs.open_log()}
        if (current := self._current()) is not None:
            values["current_bundle"] = current.path
        if adaptation.plan is not None:
            values |= {"run": adaptation.plan.run, "reason": adaptation.plan.reason}
        level = ERROR if now.state == "failed" else WARN if self._not_resumed else OK
        said = "; ".join(text for text in (now.message, self._not_resumed) if text)
        return Report(level, f"{now.state}: {said}" if said else now.state, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(AdaptationManager, AdaptationParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
