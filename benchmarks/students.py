"""Which student: the same training for many backbones, on simulated homes and real rooms, against their measured time.

python benchmarks/students.py [--task sim real] [--only NAME ...] [--epochs N] [--seeds 0] [--size-px 96]
    [--lr LR ...] [--work DIR] [--sim-bags DIR] [--sim-teacher DIR] [--real-bags DIR] [--real-teacher DIR]
    [--set key=value ...] [--time-s 60] [--write DIR] [--ranking FILE]

Everything is kept in --work (runs/students): a run that was cut off goes on, and several calls with --only or --task
make one table; rows are those of the last call's settings. --lr: each student is trained with each, and that one stays
whose float student agrees best with the teacher on validation pairs. Without --sim-bags the demo's homes are rendered
and its teacher pretrained; without --real-bags and --real-teacher both are made as benchmarks/real_rooms.py makes them.
--task real, and the row with ImageNet weights, need EDGEVL_REAL_DATA. --write: students.md and students.png into that
folder; --ranking: what `edgevl adapt --budget-ms` chooses by (config/students.json).
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from real_rooms import real_data
from remembered import remembered
from students_parts import plot, table
from students_parts.candidates import CANDIDATES, Candidate, chosen
from students_parts.latency import timed
from students_parts.tasks import TASKS, Task, real, simulated
from students_parts.training import lessons, recipe_of, row

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError


def main(command: list[str] | None = None) -> int:
    """Exit code 2 where the data is not here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(c.name for c in CANDIDATES)}")
    parser.add_argument("--epochs", type=int, help="of stage 1; left out: the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--lr", type=float, nargs="+", help="of stage 1; left out: the recipe's")
    parser.add_argument("--size-px", type=int, default=96)
    parser.add_argument("--work", type=Path, default=Path("runs/students"))
    parser.add_argument("--sim-bags", type=Path, help="holds train and test, as the demo leaves them")
    parser.add_argument("--sim-teacher", type=Path)
    parser.add_argument("--real-bags", type=Path, help="holds train0 and test0")
    parser.add_argument("--real-teacher", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="over both recipes")
    parser.add_argument("--time-s", type=float, default=60.0, help="about how long times are measured")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--ranking", type=Path)
    try:
        return measure(parser.parse_args(command))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def measure(arguments: argparse.Namespace) -> int:
    """Train, time, tell."""
    candidates = chosen(arguments.only)
    if not os.environ.get("EDGEVL_REAL_DATA") and arguments.task == ["sim"]:
        candidates = [candidate for candidate in candidates if not candidate.imagenet]
        print("EDGEVL_REAL_DATA is not set: the row with ImageNet weights is left out", file=sys.stderr)
        data = Path()
    else:
        data = real_data()
    kept = arguments.work / "rows"
    for name in arguments.task:
        for best in trained(_task(name, arguments, data), candidates, arguments, data):
            atomic_write(_file(kept, best), json.dumps(best, indent=1).encode())
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(kept.glob("*.json"))]
    known = {candidate.name: candidate for candidate in CANDIDATES}
    networks = [known[name] for name in dict.fromkeys(row["name"] for row in rows)]
    of = {candidate.name: candidate.network.name for candidate in networks}
    names = " ".join(sorted(set(of.values())))
    key = f"latency_{arguments.size_px}_{hashlib.sha256(names.encode()).hexdigest()[:8]}"
    latency = remembered(arguments.work, key, lambda: timed(networks, arguments.size_px, arguments.time_s))
    print(table.tables(rows, latency, of))
    if arguments.write:
        arguments.write.mkdir(parents=True, exist_ok=True)
        atomic_write(arguments.write / "students.md", table.document(rows, latency, of).encode())
        plot.draw(rows, latency, of, arguments.write / "students.png")
    if arguments.ranking:
        found = table.ranking(rows, CANDIDATES, arguments.size_px)
        atomic_write(arguments.ranking, (json.dumps(found, indent=1) + "\n").encode())
    return 0


def _task(name: str, arguments: argparse.Namespace, data: Path) -> Task:
    made = (arguments.work / name).resolve()
    made.mkdir(parents=True, exist_ok=True)
    if name == "sim":
        return simulated(made, arguments.sim_bags, arguments.sim_teacher)
    return real(made, data, arguments.real_bags, arguments.real_teacher)


def trained(
    task: Task, candidates: Sequence[Candidate], arguments: argparse.Namespace, data: Path
) -> Iterator[dict[str, Any]]:
    """A row of each student and seed; seeds go round, so that an interrupted run has the first of all."""
    epochs = [] if arguments.epochs is None else [f"stage1.epochs={arguments.epochs}"]
    rates = [f"stage1.lr={lr}" for lr in arguments.lr or ()]
    learn = lessons(task, (arguments.work / task.name / str(arguments.size_px)).resolve(), arguments.size_px)
    for seed in arguments.seeds:
        for candidate in candidates:
            rows = []
            for rate in rates or [""]:
                print(
                    f"--- {task.name}, {candidate.name}, seed {seed}, {rate or 'the learning rate of the recipe'}",
                    flush=True,
                )
                settings = [*arguments.settings, *epochs, *([rate] if rate else [])]
                recipe = recipe_of(task, candidate, arguments.size_px, data, settings)
                rows.append(row(learn, candidate, recipe, seed))
            yield max(rows, key=lambda each: each["float"]["agreement"])


def _file(kept: Path, row: dict[str, Any]) -> Path:
    kept.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() or c == "_" else "-" for c in row["name"])
    return kept / f"{row['task']}_{name}_{row['seed']}.json"


if __name__ == "__main__":
    sys.exit(main())
