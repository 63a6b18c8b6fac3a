"""adaptation_manager: runs ``edgevl adapt`` beside the robot's work; the classifier gets the new bundle.

One adaptation at a time, in a child process with low priority, here or on a workstation. A service or a trigger starts
it and a latched topic tells how it goes: that is all an action would add, in a form that `ros2 service call` can drive.
A bundle that is not better than the current one is kept, but not loaded.
"""

import math
import time
from typing import cast

from edgevl.msg import AdaptationStatus, LoggerStatus
from edgevl.srv import LoadBundle
from rclpy.task import Future
from std_srvs.srv import Trigger

from edgevl_core.adaptation.acceptance import outdated
from edgevl_core.adaptation.adaptation import Adaptation
from edgevl_core.adaptation.records import BundleRef, Plan, Progress, log_file
from edgevl_core.adaptation.state import after_load, after_rollback, previous
from edgevl_core.adaptation.triggers import due
from edgevl_core.base.errors import UserError
from edgevl_ros.adaptation.bundle_loader import BundleLoader, Outcome
from edgevl_ros.adaptation.robot_state import RobotState
from edgevl_ros.adaptation.settings import AdaptationParameters, settings
from edgevl_ros.node.diagnostics import ERROR, OK, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import LATCHED
from edgevl_ros.node.runner import run
from edgevl_ros.node.worker import in_thread

NO_EXIT_CODE = -1
# After a trigger that could not start anything (no log yet, say).
RETRY_S = 600.0
ON_REQUEST = "asked for by service"


class AdaptationManager(ManagedNode[AdaptationParameters]):
    """See the module's text. ~/adapt, ~/cancel, ~/rollback; ~/status (edgevl/AdaptationStatus, latched)."""

    def __init__(self) -> None:
        super().__init__("adaptation_manager", AdaptationParameters)
        self._loading: BundleLoader | None = None
        self._retry_at_s = 0.0
        self._now = AdaptationStatus(state="idle", eta_s=math.nan, exit_code=NO_EXIT_CODE)

    def setup(self) -> None:
        self._settings = settings(self.parameters)
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
        self._now = AdaptationStatus(state="running", stage="starting", eta_s=math.nan, exit_code=NO_EXIT_CODE)
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
        target = previous(self._adaptation.memory.history, self._current())
        answer: Future[Outcome] = Future()
        self._loading = BundleLoader(self._loader, target, self.parameters.load_timeout_s, answer.set_result)
        outcome = cast(Outcome, await answer)
        if outcome.state != "loaded":
            raise UserError(f"not rolled back to {target.path}: {outcome.message}")
        self._now.bundle_path, self._now.bundle_id = target.path, outcome.bundle_id
        forgotten = self._remember(history=after_rollback(self._adaptation.memory.history, target))
        self._say(f"rolled back to {target.path}{forgotten}")
        response.success, response.message = True, self._now.message
        return response

    def _must_be_active(self) -> None:
        if self.state_label != "active":
            raise UserError(f"adaptation_manager is {self.state_label}: activate it first")

    # -- progress and end -------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._loading is not None:
            if self._loading.poll():
                self._loading = None
        elif (plan := self._adaptation.at_work) is not None:
            progress = self._adaptation.look()
            if progress is not None:
                self._show_progress(plan, progress)
        else:
            self._start_if_due()
            return
        self._publish()

    def _show_progress(self, plan: Plan, progress: Progress) -> None:
        now, reason = self._now, plan.reason
        now.stage, now.progress = progress.stage, min(1.0, max(0.0, progress.progress))
        now.eta_s = math.nan if progress.eta_s is None else progress.eta_s
        because = "" if reason == ON_REQUEST else f"started: {reason}"
        now.message = "; ".join(text for text in (progress.message, because) if text)
        now.bundle_path, now.bundle_id = progress.bundle_path, progress.bundle_id
        if progress.state != "running":
            now.eta_s, now.exit_code = math.nan, NO_EXIT_CODE if progress.exit_code is None else progress.exit_code
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
            before, timeout_s = self._current(), self.parameters.load_timeout_s
            made = BundleRef(path=ended.bundle_path, id=ended.bundle_id)
            self._loading = BundleLoader(self._loader, made, timeout_s, lambda outcome: self._loaded(before, outcome))

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

    def _stop_work(self) -> None:
        self._abandon_loading()
        if self._adaptation.at_work:
            if self.parameters.end_child_on_stop:
                self._adaptation.end(self.parameters.cancel_grace_s)
            self._poll()  # it may have ended by itself since the last time
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
        history = self._adaptation.memory.history
        return self._robot_state.bundle(history[-1] if history else None)

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
        level = ERROR if now.state == "failed" else OK
        return Report(level, f"{now.state}: {now.message}" if now.message else now.state, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(AdaptationManager, AdaptationParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
