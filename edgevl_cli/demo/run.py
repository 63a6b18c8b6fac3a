"""The demo's stages, one after the other."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from edgevl_cli.console import progress, write_json
from edgevl_cli.demo.plan import Plan
from edgevl_cli.demo.processes import edgevl, node, use_large_messages
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource

if TYPE_CHECKING:
    from edgevl_cli.demo.recorder import Recorder

LABELS = "config/labels/home.yaml"
RECIPE = "config/train/demo.yaml"
RUN, HOME_RUN = "run", "home"


class Stages:
    """Announces each stage and keeps its wall time."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self._console = Console(stderr=True)

    @contextmanager
    def stage(self, key: str, what: str) -> Iterator[None]:
        self._console.rule(f"[bold]{len(self.wall_s) + 1}/9  {what}", align="left")
        start = time.monotonic()
        yield
        self.wall_s[key] = round(time.monotonic() - start, 1)


def run(out: Path, seed: int, plan: Plan = Plan()) -> dict[str, Any]:  # noqa: B008  (frozen)
    """Run the whole demo into the new directory ``out`` and return what summary.json holds.

    Raises:
        UserError: ``out`` exists, or the machine lacks ROS 2 or the training libraries.
    """
    if out.exists():
        raise UserError(f"--out {out} exists already: choose a new name, or remove it first")
    _require_ros()
    use_large_messages(resource("config/fastdds.xml"))
    demo = _Demo(out.absolute(), seed, plan)
    for directory in (demo.bags, demo.logs):
        directory.mkdir(parents=True)
    with demo.stages.stage("simulate", "simulated drives"):
        _simulate(demo.bags, seed, plan)

    # Here, after its environment is set, rclpy is imported.
    from edgevl_cli.demo import outcome
    from edgevl_cli.demo.recorder import Recorder

    recorder = Recorder()
    try:
        kept = demo.log(recorder)
        demo.make_teacher()
        demo.adapt_and_drive(recorder)
        live = outcome.live_figures(recorder)
        demo.adapt_to_one_home(recorder)
        with demo.stages.stage("sheet", "the contact sheet, and the page of the run"):
            outcome.contact_sheet(recorder, demo.bags / "live", out / "contact_sheet.png")
            edgevl("report", out / RUN)
    finally:
        recorder.client.close()

    judged = demo.judge()
    with demo.stages.stage("rooms", "names on the map of a home never seen, lit and in the dark"):
        rooms = demo.put_rooms_on_map(out / "rooms.png")
    figures = {**judged, "rooms": rooms, "live": live, "pairs_logged_live": kept, "seed": seed}
    wall_s = {**demo.stages.wall_s, "total": round(sum(demo.stages.wall_s.values()), 1)}
    summary = {**figures, "wall_s": wall_s}
    write_json(summary, out / "summary.json")
    outcome.show(summary)
    print(f"all figures: {out}/summary.json; look at {out}/contact_sheet.png, {out}/rooms.png, {out}/{RUN}/report.html")
    return summary


@dataclass(frozen=True)
class _Demo:
    """Where the demo's files lie, and its stages over ROS 2. ``out`` is absolute: the nodes run elsewhere."""

    out: Path
    seed: int
    plan: Plan
    stages: Stages = field(default_factory=Stages)

    @property
    def bags(self) -> Path:
        return self.out / "bags"

    @property
    def logs(self) -> Path:
        return self.out / "logs"

    @property
    def teacher(self) -> str:
        return f"open_clip:@{self.out / 'teacher'}"

    def log(self, recorder: "Recorder") -> int:
        """A drive through pair_logger; how many pairs it kept."""
        from edgevl_cli.demo import live

        drive, log = self.bags / "to_log", self.bags / "logged"
        with (
            self.stages.stage("log", "one drive, logged live by pair_logger"),
            progress("logging") as on_progress,
        ):
            return live.log_drive(recorder, drive, log, self.logs, self.plan.log_rate, on_progress)

    def make_teacher(self) -> None:
        with self.stages.stage("teacher", "pretraining a small CLIP on captioned RGB: the teacher"):
            edgevl("teacher", "pretrain", self.bags / "train", "--out", self.out / "teacher", "--seed", str(self.seed))

    def adapt_and_drive(self, recorder: "Recorder") -> None:
        """The adaptation, asked for by service; then a drive through other homes with the student that it made."""
        from edgevl_cli.demo import live

        manager = self._manager(["train", "logged"], RUN, [], recipe=str(resource(RECIPE)))
        with (
            node("scene_classifier", live.RELIABLE, self.logs) as classifier,
            node("label_overlay", live.RELIABLE, self.logs) as overlay,
        ):
            with (
                self.stages.stage("adapt", "adaptation, asked for by service"),
                node("adaptation_manager", manager, self.logs) as process,
                progress("adapting") as on_progress,
            ):
                check = live.alive(adaptation_manager=process, scene_classifier=classifier)
                live.adapt(recorder, check, on_progress)
            check = live.alive(scene_classifier=classifier, label_overlay=overlay)
            with (
                self.stages.stage("drive", "homes never seen, lit, then in the dark"),
                progress("driving") as on_progress,
            ):
                live.drive(recorder, self.bags / "live", self.logs, self.plan.live_rate, check, on_progress)

    def adapt_to_one_home(self, recorder: "Recorder") -> None:
        from edgevl_cli.demo import live

        run_directory = str(self.out / RUN)
        manager = self._manager(["home"], HOME_RUN, ["threads=2"], base_run=run_directory, classifier_service="")
        with (
            self.stages.stage("home", "one home: the student goes on with a drive through it"),
            node("adaptation_manager", manager, self.logs) as process,
            progress("adapting") as on_progress,
        ):
            live.adapt(recorder, live.alive(adaptation_manager=process), on_progress, loaded=False)

    def judge(self) -> dict[str, Any]:
        """Figures of teacher and students on homes that nobody has seen, and on the one home another day."""
        from edgevl_cli.demo.evaluation import home_figures, offline_figures
        from edgevl_sim import ROOMS

        total = self.plan.test_homes * len(ROOMS) * self.plan.frames_per_room
        labels = resource(LABELS)
        with (
            self.stages.stage("evaluate", "teacher and students on the test homes"),
            progress("evaluating") as on_progress,
        ):
            offline = offline_figures(
                self.out / RUN, self.teacher, self.bags / "test", labels, lambda pairs: on_progress(pairs, total)
            )
            return {**offline, "home": home_figures(self.out, self.teacher, self.bags, labels)}

    def put_rooms_on_map(self, picture: Path) -> dict[str, Any]:
        """Room maps by the student of many homes, of the one home that it has not seen, on the other day."""
        from edgevl_cli.demo.rooms import rooms_on_map
        from edgevl_sim import home_seed
        from edgevl_sim.home_map import home_map

        drives = {"lit": self.bags / "other_day", "dark": self.bags / "other_day_dark"}
        true = home_map(home_seed(self.seed, "test", self.plan.test_homes), drive=1)
        return rooms_on_map(drives, self.out / RUN / "bundle", true, picture)

    def _manager(self, bags: list[str], name: str, overrides: list[str], **others: str) -> dict[str, Any]:
        """Parameters of adaptation_manager."""
        return {
            "bags": [str(self.bags / bag) for bag in bags],
            "teacher": self.teacher,
            "labels": str(resource(LABELS)),
            "overrides": [f"seed={self.seed}", *overrides],
            "out_dir": str(self.out),
            "run_name": name,
            **others,
        }


def _require_ros() -> None:
    from importlib.util import find_spec

    if not find_spec("rclpy") or not find_spec("edgevl"):
        raise UserError(
            "the demo needs ROS 2's rclpy and edgevl's messages in this Python: run 'make demo', or source ROS 2 first"
        )


def _simulate(bags: Path, seed: int, plan: Plan) -> None:
    from edgevl_sim import write_bag

    sparse = {"frames_per_room": plan.frames_per_room, "hz": plan.drive_hz}
    one_home = {"split": "test", "first_home": plan.test_homes, "homes": 1, "lights": "on"}
    other_day = {"drive": 1, "frames_per_room": plan.other_day_frames_per_room, "hz": plan.home_hz}
    direct = plan.train_homes - plan.logged_homes
    drives: tuple[tuple[str, dict[str, Any]], ...] = (
        ("train", {"split": "train", "homes": direct, "lights": "on", **sparse}),
        ("to_log", {"split": "train", "homes": plan.logged_homes, "first_home": direct, "lights": "on", **sparse}),
        ("test", {"split": "test", "homes": plan.test_homes, "lights": "on", **sparse}),
        (
            "live",
            {
                "split": "test",
                "homes": plan.live_homes,
                "frames_per_room": plan.live_frames_per_room,
                "hz": plan.live_hz,
                "lights": "halfway",
            },
        ),
        ("home", {**one_home, "frames_per_room": plan.home_frames_per_room, "hz": plan.home_hz}),
        ("other_day", {**one_home, **other_day, "lights": "on"}),
        ("other_day_dark", {**one_home, **other_day, "lights": "off"}),
    )
    workers = min(plan.workers, os.cpu_count() or 1)
    for name, drive in drives:
        with progress(f"{name:14s}{drive['homes']:4d} homes") as on_progress:
            write_bag(bags / name, seed=seed, workers=workers, on_progress=on_progress, **drive)
