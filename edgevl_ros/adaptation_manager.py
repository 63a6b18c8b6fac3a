"""adaptation_manager: runs ``edgevl adapt`` beside the robot's work; the classifier gets the new bundle.

One adaptation at a time, in a child process with low priority. A service starts it and a latched topic
tells how it goes: that is all an action would add, in a form that `ros2 service call` can drive.
"""

import math
import time
from pathlib import Path

from edgevl.msg import AdaptationStatus
from edgevl.srv import LoadBundle
from rclpy.task import Future
from std_srvs.srv import Trigger

from edgevl_core.errors import UserError
from edgevl_ros.child import Child, Progress, adapt_arguments, edgevl_command, read_progress
from edgevl_ros.diagnostics import ERROR, OK, Report
from edgevl_ros.managed import ManagedNode
from edgevl_ros.parameters import Parameter
from edgevl_ros.qos import LATCHED
from edgevl_ros.runner import run
from edgevl_ros.worker import in_thread

PARAMETERS = (
    # What is executed cannot be changed from outside while the node lives.
    Parameter("executable", "", "edgevl program; empty: the one installed with this Python", read_only=True),
    Parameter("bags", (), "rosbag2 directories to adapt to", read_only=True),
    Parameter("teacher", "", "teacher, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k", read_only=True),
    Parameter("labels", "", "labels file (YAML)", read_only=True),
    Parameter("recipe", "", "recipe file; empty: edgevl adapt's own default", read_only=True),
    Parameter("overrides", (), "recipe overrides, key=value", read_only=True),
    Parameter("out_dir", "adaptations", "where run directories are made", read_only=True),
    Parameter("run_name", "", "name of the run directory; empty: run_<UTC date and time>", read_only=True),
    Parameter("niceness", 10, "of the child process: 0 as the nodes, 19 only idle time", low=0, high=19),
    Parameter("classifier_service", "scene_classifier/load_bundle", "gets the bundle; empty: nobody"),
    Parameter("load_timeout_s", 60.0, "how long the classifier may take to load", low=1.0, high=600.0),
    Parameter("cancel_grace_s", 5.0, "from SIGTERM to SIGKILL", low=0.1, high=300.0),
    Parameter("status_period_s", 0.5, "how often progress is read and published", low=0.05, high=60.0),
)
NO_EXIT_CODE = -1
FIND_SERVICE_S = 5.0


class AdaptationManager(ManagedNode):
    """See the module's text. ~/adapt, ~/cancel; ~/status (edgevl/AdaptationStatus, latched)."""

    def __init__(self) -> None:
        super().__init__("adaptation_manager", PARAMETERS)
        self._child: Child | None = None
        self._run: Path | None = None
        self._cancelled = False
        self._load: Future | None = None
        self._handing_over = False
        self._deadline_s = math.inf
        self._now = AdaptationStatus(state="idle", eta_s=math.nan, exit_code=NO_EXIT_CODE)

    def setup(self) -> None:
        edgevl_command(self.values["executable"])
        self._status = self.add_publisher(AdaptationStatus, "~/status", LATCHED)
        self.add_service(Trigger, "~/adapt", self._on_adapt)
        self.add_service(Trigger, "~/cancel", self._on_cancel)
        service = self.values["classifier_service"]
        self._loader = self.create_client(LoadBundle, service) if service else None
        if self._loader is not None:
            self.until_cleanup.callback(self.destroy_client, self._loader)

    def start(self) -> None:
        self.until_deactivate.callback(self._end_child)
        self.add_timer(self.values["status_period_s"], self._poll)
        self._publish()

    # -- services ---------------------------------------------------------------------------------------

    def _on_adapt(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.state_label != "active":
            raise UserError(f"adaptation_manager is {self.state_label}: activate it first")
        if self._child is not None or self._handing_over:
            raise UserError(f"an adaptation runs already in {self._run}: wait for it, or call ~/cancel")
        for name in ("bags", "teacher", "labels"):
            if not self.values[name]:
                raise UserError(f"parameter {name} is empty: `edgevl adapt` needs it")
        run = self._new_run()
        command = edgevl_command(self.values["executable"]) + adapt_arguments(
            self.values["bags"],
            self.values["teacher"],
            self.values["labels"],
            run,
            self.values["recipe"],
            self.values["overrides"],
        )
        # Beside the run directory, which `edgevl adapt` makes itself and which must not exist before.
        self._child = Child(command, run.with_name(f"{run.name}.log"), self.values["niceness"])
        self._run, self._cancelled = run, False
        self._now = AdaptationStatus(state="running", stage="starting", eta_s=math.nan, exit_code=NO_EXIT_CODE)
        self._publish()
        self.get_logger().info(f"adapting in {run}, output in {self._child.log}")
        response.success, response.message = True, str(run)
        return response

    async def _on_cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        child = self._child
        if child is None:
            raise UserError("no adaptation is running: nothing to cancel")
        self._cancelled = True
        await in_thread(self, lambda: child.end(self.values["cancel_grace_s"]))
        self._poll()
        response.success, response.message = True, f"cancelled {self._run}"
        return response

    def _new_run(self) -> Path:
        directory = Path(self.values["out_dir"]).expanduser()
        directory.mkdir(parents=True, exist_ok=True)
        run = directory / (self.values["run_name"] or time.strftime("run_%Y%m%dT%H%M%SZ", time.gmtime()))
        if run.exists():
            raise UserError(f"{run} exists already: give another run_name, or remove it first")
        return run

    # -- the child's progress ---------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._handing_over:
            self._poll_hand_over()
        elif self._child is not None:
            code = self._child.exit_code()
            progress = self._progress()
            if code is not None:
                self._on_exit(code, progress)
        else:
            return
        self._publish()

    def _progress(self) -> Progress | None:
        """What the child last said of itself, taken over into the status."""
        try:
            progress = read_progress(self._run)
        except UserError as error:  # told, and no reason to lose sight of the child
            self.add_error("status", error)
            return None
        if progress is not None:
            self._take(progress)
        return progress

    def _take(self, progress: Progress) -> None:
        self._now.stage, self._now.progress = progress.stage, min(1.0, max(0.0, progress.progress))
        self._now.eta_s = math.nan if progress.eta_s is None else progress.eta_s
        self._now.message = progress.message
        self._now.bundle_path, self._now.bundle_id = progress.bundle_path, progress.bundle_id

    def _on_exit(self, code: int, progress: Progress | None) -> None:
        child, self._child = self._child, None
        self._now.exit_code, self._now.eta_s = code, math.nan
        if self._cancelled:
            self._settle("cancelled", f"cancelled in stage {self._now.stage or 'starting'}")
        elif code != 0:
            told = progress.message if progress is not None and progress.state == "failed" else ""
            self._settle("failed", told or child.last_line() or f"exit code {code}, see {child.log}")
        elif progress is None or progress.state != "succeeded" or not progress.bundle_path:
            self._settle("failed", f"{self._run}/status.json names no bundle; see {child.log}")
        elif self._loader is None:
            self._settle("succeeded", progress.message or "done")
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """From now on ``_poll`` asks the classifier to load the bundle."""
        self._now.stage, self._now.progress = "load", 1.0
        self._now.message = "the classifier tests the bundle"
        self._handing_over = True
        self._deadline_s = time.monotonic() + FIND_SERVICE_S

    def _poll_hand_over(self) -> None:
        late = time.monotonic() > self._deadline_s
        service = self._loader.srv_name
        if self._load is None and self._loader.service_is_ready():
            self._load = self._loader.call_async(LoadBundle.Request(path=self._now.bundle_path))
            self._deadline_s = time.monotonic() + self.values["load_timeout_s"]
        elif self._load is None and late:
            self._settle("succeeded", f"bundle not loaded yet: nobody offers {service}")
        elif self._load is not None and self._load.done():
            answer = self._load.result()
            self._settle("succeeded" if answer.ok else "failed", answer.message)
        elif self._load is not None and late:
            self._loader.remove_pending_request(self._load)
            self._settle("failed", f"{service} did not answer in {self.values['load_timeout_s']:g} s")

    def _settle(self, state: str, message: str) -> None:
        self._handing_over, self._load = False, None
        self._now.state, self._now.message = state, message
        log = self.get_logger().error if state == "failed" else self.get_logger().info
        log(f"adaptation {state}: {message}")

    def _end_child(self) -> None:
        self._handing_over, self._load = False, None
        if self._child is None:
            return
        self._cancelled = True
        self._on_exit(self._child.end(self.values["cancel_grace_s"]), None)
        self._publish()

    def _publish(self) -> None:
        self._now.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(self._now)

    def report(self) -> Report:
        now = self._now
        values = {"adaptation": now.state, "stage": now.stage, "progress": now.progress}
        values["bundle_id"] = now.bundle_id
        if self._run is not None:
            values["run"] = self._run
        level = ERROR if now.state == "failed" else OK
        return Report(level, f"{now.state}: {now.message}" if now.message else now.state, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(AdaptationManager, PARAMETERS, __doc__ or "")


if __name__ == "__main__":
    raise SystemExit(main())
