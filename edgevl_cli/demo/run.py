"""The demo's stages, one after the other."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from edgevl_cli.console import progress, write_json
from edgevl_cli.demo.plan import Plan
from edgevl_cli.demo.processes import edgevl, node, use_large_messages
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource

LABELS = "config/labels/home.yaml"
RECIPE = "config/train/demo.yaml"
HOME_RUN = "home"


class Stages:
    """Announces each stage and keeps its wall time."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self._console = Console(stderr=True)

    @contextmanager
    def stage(self, key: str, what: str) -> Iterator[None]:
        self._console.rule(f"[bold]{len(self.wall_s) + 1}/8  {what}", align="left")
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
    out = out.absolute()
    bags, logs, run_dir = out / "bags", out / "logs", out / "run"
    for directory in (bags, logs):
        directory.mkdir(parents=True)
    stages = Stages()

    with stages.stage("simulate", "simulated drives"):
        _simulate(bags, seed, plan)

    # Here, after its environment is set, rclpy is imported.
    from edgevl_cli.demo import live, outcome
    from edgevl_cli.demo.recorder import Recorder
    from edgevl_sim import ROOMS

    recorder = Recorder()
    try:
        with stages.stage("log", "one drive, logged live by pair_logger"), progress("logging") as on_progress:
            kept = live.log_drive(recorder, bags / "to_log", bags / "logged", logs, plan.log_rate, on_progress)

        with stages.stage("teacher", "pretraining a small CLIP on captioned RGB: the teacher"):
            edgevl("teacher", "pretrain", bags / "train", "--out", out / "teacher", "--seed", str(seed))
        teacher = f"open_clip:@{out / 'teacher'}"

        manager_parameters = {
            "bags": [str(bags / "train"), str(bags / "logged")],
            "teacher": teacher,
            "labels": str(resource(LABELS)),
            "recipe": str(resource(RECIPE)),
            "overrides": [f"seed={seed}"],
            "out_dir": str(out),
            "run_name": run_dir.name,
        }
        with (
            node("scene_classifier", live.RELIABLE, logs) as classifier,
            node("label_overlay", live.RELIABLE, logs) as overlay,
        ):
            check = live.alive(scene_classifier=classifier, label_overlay=overlay)
            with (
                stages.stage("adapt", "adaptation, asked for by service"),
                node("adaptation_manager", manager_parameters, logs) as manager,
                progress("adapting") as on_progress,
            ):
                live.adapt(recorder, live.alive(adaptation_manager=manager, scene_classifier=classifier), on_progress)
            with stages.stage("drive", "homes never seen, lit, then in the dark"), progress("driving") as on_progress:
                live.drive(recorder, bags / "live", logs, plan.live_rate, check, on_progress)
        figures = outcome.live_figures(recorder)
        home_parameters = {
            "bags": [str(bags / "home")],
            "teacher": teacher,
            "labels": str(resource(LABELS)),
            "base_run": str(run_dir),
            "overrides": [f"seed={seed}", "threads=2"],
            "out_dir": str(out),
            "run_name": HOME_RUN,
            "classifier_service": "",
        }
        with (
            stages.stage("home", "one home: the student goes on with a drive through it"),
            node("adaptation_manager", home_parameters, logs) as manager,
            progress("adapting") as on_progress,
        ):
            live.adapt(recorder, live.alive(adaptation_manager=manager), on_progress, loaded=False)
        with stages.stage("sheet", "the contact sheet"):
            outcome.contact_sheet(recorder, bags / "live", out / "contact_sheet.png")
    finally:
        recorder.client.close()

    total = plan.test_homes * len(ROOMS) * plan.frames_per_room
    with (
        stages.stage("evaluate", "teacher and students on the test homes"),
        progress("evaluating") as on_progress,
    ):
        from edgevl_cli.demo.evaluation import home_figures, offline_figures

        offline = offline_figures(
            run_dir, teacher, bags / "test", resource(LABELS), lambda pairs: on_progress(pairs, total)
        )
        home = home_figures(out, teacher, bags, resource(LABELS))
    wall_s = {**stages.wall_s, "total": round(sum(stages.wall_s.values()), 1)}
    summary = {**offline, "home": home, "live": figures, "pairs_logged_live": kept, "seed": seed, "wall_s": wall_s}
    write_json(summary, out / "summary.json")
    outcome.show(summary)
    print(f"all figures: {out}/summary.json; look at {out}/contact_sheet.png")
    return summary


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
