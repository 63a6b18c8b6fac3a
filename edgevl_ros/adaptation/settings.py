"""adaptation_manager's parameters, and what follows from them: trigger rules, the workstation, a run's plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from edgevl_ros.node.parameters import Parameter

HOME_RECIPE = "config/train/home.yaml"
PARAMETERS = (
    # What is executed, and where, cannot be changed from outside while the node lives.
    Parameter("executable", "", "edgevl program; empty: the one installed with this Python", read_only=True),
    Parameter("bags", (), "rosbag2 directories to adapt to", read_only=True),
    Parameter("log_directory", "", "adapt to all closed logs in it too; empty: only to bags", read_only=True),
    Parameter("teacher", "", "teacher, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k", read_only=True),
    Parameter("labels", "", "labels file (YAML)", read_only=True),
    Parameter(
        "recipe", "", "recipe file; empty: config/train/home.yaml where it begins with a student", read_only=True
    ),
    Parameter("overrides", (), "recipe overrides, key=value", read_only=True),
    Parameter(
        "base_run", "", "run (on remote_host, if set) to begin with; empty: see start_from_current", read_only=True
    ),
    Parameter("start_from_current", True, "begin with the run that the bundle in use goes back to", read_only=True),
    # With trust of scene_classifier: without a signature the classifier would refuse what the robot learned.
    Parameter("signing_key", "", "private key (on remote_host, if set) that signs new bundles", read_only=True),
    Parameter("out_dir", "adaptations", "where run directories are made", read_only=True),
    Parameter("run_name", "", "name of the run directory; empty: run_<UTC date and time>", read_only=True),
    Parameter("niceness", 10, "of the child process: 0 as the nodes, 19 only idle time", low=0, high=19),
    Parameter("end_child_on_stop", True, "end the adaptation with the node; false: it goes on and is found again"),
    Parameter("cancel_grace_s", 5.0, "from SIGTERM to SIGKILL", low=0.1, high=300.0),
    Parameter("status_period_s", 0.5, "how often progress is read and published", low=0.05, high=60.0),
    # Unasked: all of it is off by default.
    Parameter("trigger_new_pairs", 0, "adapt after so many pairs in closed logs; 0: off", low=0, high=100_000_000),
    Parameter("trigger_battery_topic", "", "sensor_msgs/BatteryState: adapt while it charges; empty: off"),
    Parameter("trigger_battery_min", 0.8, "share of charge from which on", low=0.0, high=1.0),
    Parameter("trigger_time", "", "adapt at a time of day, HH:MM-HH:MM, local time; empty: off"),
    Parameter("trigger_mode", "any", "of the triggers that are on, which must hold", choices=("any", "all")),
    Parameter("min_interval_h", 20.0, "unasked, at most one adaptation in this time", low=0.0, high=8760.0),
    Parameter("logger_status", "pair_logger/status", "edgevl/LoggerStatus, for new pairs and the open log"),
    # Whether the new bundle is used.
    Parameter("classifier_service", "scene_classifier/load_bundle", "gets the bundle; empty: nobody"),
    Parameter("load_timeout_s", 60.0, "how long the classifier may take to load", low=1.0, high=600.0),
    Parameter("held_back", (), "bags never adapted to, newest last: bundles are compared on them", read_only=True),
    Parameter("min_gain", 0.0, "needed on the newest held-back bag, agreement with the teacher", low=0.0, high=1.0),
    Parameter("max_loss", 0.01, "allowed on each earlier one", low=0.0, high=1.0),
    Parameter("keep_bundles", 5, "runs with a bundle to keep; current and previous always are", low=1, high=10_000),
    # Pictures leave the robot only when told to.
    Parameter("remote_host", "", "adapt on this machine through ssh, name or user@name; empty: here", read_only=True),
    Parameter("remote_directory", "edgevl", "for bags and runs on remote_host", read_only=True),
    Parameter("remote_command", ("edgevl",), "edgevl program on remote_host, and its first arguments", read_only=True),
)


@dataclass(frozen=True)
class Settings:
    """What the parameters mean; made by :func:`settings`.

    Attributes:
        values: the parameters.
        directory: out_dir, which exists.
        program: the edgevl command of this machine, empty where the adaptation runs elsewhere.
        remote: where it runs, None: here.
        rules: when it starts unasked.
    """

    values: Mapping[str, Any]
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
        values = self.values
        bags = values["bags"]
        if values["log_directory"]:
            logs = closed_logs(Path(values["log_directory"]).expanduser(), open_log)
            bags = without([*bags, *logs], values["held_back"])
            if not bags:
                raise UserError(f"no closed log with messages in {values['log_directory']}: nothing to adapt to")
        for name, value in (("bags", bags), ("teacher", values["teacher"]), ("labels", values["labels"])):
            if not value:
                raise UserError(f"parameter {name} is empty: `edgevl adapt` needs it")
        start_from = self._origin(current)
        recipe = values["recipe"] or (str(resource(HOME_RECIPE)) if start_from is not None else "")
        same = ("teacher", "labels", "overrides", "held_back", "min_gain", "max_loss")
        return Plan(
            run=new_run(self.directory, values["run_name"]),
            program=self.program,
            bags=bags,
            remote=self.remote,
            current=current,
            recipe=recipe,
            start_from=start_from,
            reason=reason,
            signing_key=self._signing_key(),
            **{name: values[name] for name in same},
        )

    def _signing_key(self) -> str:
        named = self.values["signing_key"]
        return named if self.remote or not named else str(Path(named).expanduser().absolute())

    def _origin(self, current: BundleRef | None) -> Path | None:
        """The run to begin with; None: with a new student.

        Not last night's run, but the one that it, too, began with: all logs of the home are adapted to anyway, and what
        each night adds to the one before would drift.
        """
        if self.values["base_run"]:
            named = Path(self.values["base_run"])
            return named if self.remote else named.expanduser().absolute()
        if not self.values["start_from_current"]:
            return None
        run = made_by(self.directory, current)
        if run is None or (self.remote and not is_own(self.directory, run)):
            return None  # a run made by hand on this machine is not on the workstation
        return origin(run)


def settings(values: Mapping[str, Any]) -> Settings:
    """Check the parameters against each other and make out_dir.

    Raises:
        UserError: in one line what is wrong.
    """
    rules = Rules(
        new_pairs=values["trigger_new_pairs"],
        min_battery=values["trigger_battery_min"] if values["trigger_battery_topic"] else None,
        window=parse_window(values["trigger_time"]) if values["trigger_time"] else None,
        mode=values["trigger_mode"],
        min_interval_h=values["min_interval_h"],
    )
    if rules.used() and not (values["bags"] or values["log_directory"]):
        raise UserError("a trigger is on, but bags and log_directory are empty: name what to adapt to")
    if rules.new_pairs and not (values["logger_status"] and values["log_directory"]):
        raise UserError("trigger_new_pairs needs logger_status and log_directory: new pairs are in new logs")
    check_run_name(values["run_name"])
    kept = without(values["bags"], values["held_back"])
    if both := [bag for bag in values["bags"] if bag not in kept]:
        raise UserError(f"bags and held_back both name {', '.join(both)}: a bag is for one of them (or named twice)")
    remote = None
    if values["remote_host"]:
        remote = Remote(
            host=values["remote_host"],
            directory=values["remote_directory"].rstrip("/"),
            command=values["remote_command"],
        )
        check_remote(remote)
    if values["signing_key"] and not remote:
        from edgevl_core.bundle.signing import check_key  # only here is cryptography needed

        check_key(values["signing_key"])
    program = () if remote else tuple(edgevl_command(values["executable"]))
    return Settings(values, make_directory(values["out_dir"], "out_dir"), program, remote, rules)
