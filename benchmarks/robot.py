"""What the robot's nodes cost and keep up with, over real DDS between processes: one run, one table.

python benchmarks/robot.py [--parts logger classifier memory pairing] [--seconds 60] [--minutes 10]
                           [--set KEY=VALUE ...] [--directory DIR] [--json FILE]

logger: every pair of 640x480 rgb8 and 16UC1 at 30 Hz is kept, as it came and compressed. classifier: the default
student (int8, random weights) on the same streams, with label changes and hot swaps. memory: the same for minutes.
pairing: against ApproximateTimeSynchronizer. --set: parameters
of both nodes, as executor=events. Exit code 1 where a bound is not reached.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from edgevl_cli.benchmark.machine import load, machine
from edgevl_cli.demo.processes import use_large_messages
from edgevl_ros.node.domain import free_ros_domain

ROOT = Path(__file__).resolve().parents[1]
use_large_messages(ROOT / "config/fastdds.xml")  # read when rclpy starts

from robot_parts import classifier, logger, pairing  # noqa: E402
from robot_parts.rows import Row, as_json, table  # noqa: E402

STUDENT = Path(__file__).with_name("robot_parts") / "student.py"
PARTS = ("logger", "classifier", "memory", "pairing")


def measure(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """The rows of the chosen parts, in order."""
    parts = set(arguments.parts)
    given = dict(setting.split("=", 1) for setting in arguments.settings)
    rows = []
    if "pairing" in parts:
        rows += pairing.measure()
    if "logger" in parts:
        rows += logger.measure(arguments.seconds, arguments.directory, given)
    if parts & {"classifier", "memory"}:
        subprocess.run([sys.executable, STUDENT, folder / "students"], check=True)
        bundles = (folder / "students/first", folder / "students/second")
        seconds = arguments.seconds if "classifier" in parts else 0.0
        memory_s = 60 * arguments.minutes if "memory" in parts else 0.0
        rows += classifier.measure(bundles, seconds, memory_s, folder, given)
    return rows


def expected_minutes(parts: set[str], seconds: float, memory_minutes: float) -> float:
    """How long the parts take, with starting the nodes and making the students."""
    steady = {"pairing": 0.1, "logger": 2 * seconds / 60 + 0.3, "classifier": seconds / 60 + 0.7}
    return sum(steady[part] for part in parts if part in steady) + ("memory" in parts) * (memory_minutes + 1.3)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each node is loaded")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long memory is looked at")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the temporary one")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    about, load_before = machine(), load()
    minutes = expected_minutes(set(arguments.parts), arguments.seconds, arguments.minutes)
    print(f"about {minutes:.0f} minutes, until {datetime.now() + timedelta(minutes=minutes):%H:%M}", file=sys.stderr)
    # In a domain of its own no robot nearby is disturbed, nor disturbs.
    with free_ros_domain() as domain, tempfile.TemporaryDirectory(prefix="edgevl_robot_") as folder:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        rows = measure(arguments, Path(folder))
    # Into a file or a pipe: as wide as the table.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(rows, f"{about['cpu']}, {about['cores']} cores; load {load_before:.2f} before"))
    if arguments.json:
        found = {"machine": about, "load_before": load_before, "rows": as_json(rows)}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(row.reached is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
