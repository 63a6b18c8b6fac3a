"""adaptation_manager's parameters, and what follows from them: trigger rules, the workstation, a run's plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgevl_core.adaptation.child import edgevl_command
from edgevl_core.adaptation.hosts import check_remote
from edgevl_core.adaptation.records import BundleRef, Plan, Remote
from edgevl_core.adaptation.runs import (
    check_run_name,
    closed_logs,
    is_own,
    made_by,
    make_directory,
    new_run,
    origin,
    without,
)
from edgevl_core.adaptation.triggers import Rules, parse_window
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_ros.node.parameters import NodeParameters, parameter

HOME_RECIPE = "config/train/home.yaml"


@dataclass(frozen=True)
class AdaptationParameters(NodeParameters):
    """adaptation_manager's parameters."""

    # What is executed, and where, cannot be changed from outside while the node lives.
    executable: str = parameter("", "edgevl program; empty: the one installed with this Python", read_only=True)
    bags: tuple[str, ...] = parameter((), "rosbag2 directories to adapt to", read_only=True)
    log_directory: str = parameter("", "adapt to all closed logs in it too; empty: only to bags", read_only=True)
    teacher: str = parameter("", "teacher, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k", read_only=True)
    labels: str = parameter("", "labels file (YAML)", read_only=True)
    recipe: str = parameter(
        "", "recipe file; empty: config/train/home.yaml where it begins with a student", read_only=True
    )
    overrides: tuple[str, ...] = parameter((), "recipe overrides, key=value", read_only=True)
    base_run: str = parameter(
        "", "run (on remote_host, if set) to begin with; empty: see start_from_current", read_only=True
    )
    start_from_current: bool = parameter(True, "begin with the run that the bundle in use goes back to", read_only=True)
    # With trust of scene_classifier: without a signature the classifier would refuse what the robot learned.
    signing_key: str = parameter("", "private key (on remote_host, if set) that signs new bundles", read_only=True)
    out_dir: str = parameter("adaptations", "where run directories are made", read_only=True)
    run_name: str = parameter("", "name of the run directory; empty: run_<UTC date and time>", read_only=True)
    niceness: int = parameter(10, "of the child process: 0 as the nodes, 19 only idle time", low=0, high=19)
    end_child_on_stop: bool = parameter(True, "end the adaptation with the node; false: it goes on and is found again")
    cancel_grace_s: float = parameter(5.0, "from SIGTERM to SIGKILL", low=0.1, high=300.0)
    status_period_s: float = parameter(0.5, "how often progress is read and published", low=0.05, high=60.0)
    # Unasked: all of it is off by default.
    trigger_new_pairs: int = parameter(0, "adapt after so many pairs in closed logs; 0: off", low=0, high=100_000_000)
    trigger_battery_topic: str = parameter("", "sensor_msgs/BatteryState: adapt while it charges; empty: off")
    trigger_battery_min: float = parameter(0.8, "share of charge from which on", low=0.0, high=1.0)
    trigger_time: str = parameter("", "adapt at a time of day, HH:MM-HH:MM, local time; empty: off")
    trigger_mode: Literal["any", "all"] = parameter(
        "any", "of the triggers that are on, which must hold", choices=("any", "all")
    )
    min_interval_h: float = parameter(20.0, "unasked, at most one adaptation in this time", low=0.0, high=8760.0)
    logger_status: str = parameter("pair_logger/status", "edgevl/LoggerStatus, for new pairs and the open log")
    # Whether the new bundle is used.
    classifier_service: str = parameter("scene_classifier/load_bundle", "gets the bundle; empty: nobody")
    load_timeout_s: float = parameter(60.0, "how long the classifier may take to load", low=1.0, high=600.0)
    held_back: tuple[str, ...] = parameter(
        (), "bags never adapted to, newest last: bundles are compared on them", read_only=True
    )
    min_gain: float = parameter(
        0.0, "needed on the newest held-back bag, agreement with the teacher", low=0.0, high=1.0
    )
    max_loss: float = parameter(0.01, "allowed on each earlier one", low=0.0, high=1.0)
    keep_bundles: int = parameter(5, "runs with a bundle to keep; current and previous always are", low=1, high=10_000)
    # Pictures leave the robot only when told to.
    remote_host: str = parameter(
        "", "adapt on this machine through ssh, name or user@name; empty: here", read_only=True
    )
    remote_directory: str = parameter("edgevl", "for bags and runs on remote_host", read_only=True)
    remote_command: tuple[str, ...] = parameter(
        ("edgevl",), "edgevl program on remote_host, and its first arguments", read_only=True
    )


@dataclass(frozen=True)
class Settings:
    """What the parameters mean; made by :func:`settings`.

    Attributes:
        parameters: adaptation_manager's.
        directory: out_dir, which exists.
        program: the edgevl command of this machine, empty where the adaptation runs elsewhere.
        remote: where it runs, None: here.
        rules: when it starts unasked.
    """

    parameters: AdaptationParameters
    directory: Path
    program: tuple[str, ...]
    remote: Remote | None
    rules: Rules

    def plan(self, current: BundleRef | None, open_log: str, reason: str) -> Plan:
        """The plan of a new run.

        Args:
            current: the bundle in use.
            open_log: the log being written, which is left out.

        Raises:
            UserError: something `edgevl adapt` needs is missing, or the run exists.
        """
        parameters = self.parameters
        bags = parameters.bags
        if parameters.log_directory:
            logs = closed_logs(parameters.path("log_directory"), open_log)
            bags = without([*bags, *logs], parameters.held_back)
            if not bags:
                raise UserError(f"no closed log with messages in {parameters.log_directory}: nothing to adapt to")
        for name, value in (("bags", bags), ("teacher", parameters.teacher), ("labels", parameters.labels)):
            if not value:
                raise UserError(f"parameter {name} is empty: `edgevl adapt` needs it")
        start_from = self._origin(current)
        recipe = parameters.recipe or (str(resource(HOME_RECIPE)) if start_from is not None else "")
        same = ("teacher", "labels", "overrides", "held_back", "min_gain", "max_loss")
        return Plan(
            run=new_run(self.directory, parameters.run_name),
            program=self.program,
            bags=bags,
            remote=self.remote,
            current=current,
            recipe=recipe,
            start_from=start_from,
            reason=reason,
            signing_key=self._signing_key(),
            **{name: getattr(parameters, name) for name in same},
        )

    def _signing_key(self) -> str:
        named = self.parameters.signing_key
        return named if self.remote or not named else str(self.parameters.path("signing_key").absolute())

    def _origin(self, current: BundleRef | None) -> Path | None:
        """The run to begin with; None: with a new student.

        Not last night's run, but the one that it, too, began with: all logs of the home are adapted to anyway, and what
        each night adds to the one before would drift.
        """
        if self.parameters.base_run:
            return Path(self.parameters.base_run) if self.remote else self.parameters.path("base_run").absolute()
        if not self.parameters.start_from_current:
            return None
        run = made_by(self.directory, current)
        if run is None or (self.remote and not is_own(self.directory, run)):
            return None  # a run made by hand on this machine is not on the workstation
        return origin(run)


def settings(parameters: AdaptationParameters) -> Settings:
    """Check the parameters against each other and make out_dir.

    Raises:
        UserError: in one line what is wrong.
    """
    rules = Rules(
        new_pairs=parameters.trigger_new_pairs,
        min_battery=parameters.trigger_battery_min if parameters.trigger_battery_topic else None,
        window=parse_window(parameters.trigger_time) if parameters.trigger_time else None,
        mode=parameters.trigger_mode,
        min_interval_h=parameters.min_interval_h,
    )
    if rules.used() and not (parameters.bags or parameters.log_directory):
        raise UserError("a trigger is on, but bags and log_directory are empty: name what to adapt to")
    if rules.new_pairs and not (parameters.logger_status and parameters.log_directory):
        raise UserError("trigger_new_pairs needs logger_status and log_directory: new pairs are in new logs")
    check_run_name(parameters.run_name)
    _check_homes(parameters)
    kept = without(parameters.bags, parameters.held_back)
    if both := [bag for bag in parameters.bags if bag not in kept]:
        raise UserError(f"bags and held_back both name {', '.join(both)}: a bag is for one of them (or named twice)")
    remote = None
    if parameters.remote_host:
        remote = Remote(
            host=parameters.remote_host,
            directory=parameters.remote_directory.rstrip("/"),
            command=parameters.remote_command,
        )
        check_remote(remote)
    if parameters.signing_key and not remote:
        from edgevl_core.bundle.signing import check_key  # only here is cryptography needed

        check_key(parameters.path("signing_key"))
    program = () if remote else tuple(edgevl_command(parameters.executable))
    return Settings(parameters, make_directory(str(parameters.path("out_dir")), "out_dir"), program, remote, rules)


def _check_homes(parameters: AdaptationParameters) -> None:
    """Paths of this machine that are looked at only once an adaptation begins. Raises UserError: see ``path``."""
    for name in ("bags", "held_back"):
        parameters.paths(name)
    for name in ("log_directory", "labels", "recipe"):
        parameters.path(name)
    if not parameters.remote_host:
        parameters.path("base_run")
