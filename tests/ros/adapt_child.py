"""A stand-in for ``edgevl adapt`` and ``edgevl evaluate``: keeps their contract, trains and measures nothing.

What adapt does comes by ``--set``: mode=succeed|fail|hang|stubborn, bundle=DIR (succeed: copied to RUN/bundle),
until=FILE (succeed: not before that file exists), refused=WHY. What evaluate says of its two bundles is in
BAG/agreement.json, by id.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    adapting, evaluating = commands.add_parser("adapt"), commands.add_parser("evaluate")
    adapting.add_argument("bags", nargs="+")
    for name in ("--out", "--recipe", "--sign"):
        adapting.add_argument(name)
    adapting.add_argument("--set", action="append", default=[])
    evaluating.add_argument("bundle")
    evaluating.add_argument("bags", nargs="+")
    evaluating.add_argument("--against", required=True)
    evaluating.add_argument("--json", required=True, choices=["-"])
    for command in (adapting, evaluating):
        command.add_argument("--teacher", required=True)
        command.add_argument("--labels", required=True)
    arguments = parser.parse_args()
    return adapt(arguments) if arguments.command == "adapt" else evaluate(arguments)


def adapt(arguments: argparse.Namespace) -> int:
    options = dict(option.split("=", 1) for option in arguments.set)
    run = Path(arguments.out)
    run.mkdir(parents=True)
    seen = {"arguments": sys.argv[1:], "environment": dict(os.environ), "nice": os.nice(0), "disk": disk_class()}
    for name, content in (("seen", seen), ("inputs", {"bags": arguments.bags}), ("report", {})):
        (run / f"{name}.json").write_text(json.dumps(content))

    def status(state: str, **fields: object) -> None:
        (run / "new").write_text(json.dumps({"state": state, "eta_s": 12.5, **fields}))
        (run / "new").replace(run / "status.json")

    status("running", stage="distil", progress=0.25, message="epoch 1 of 4")
    print("training", flush=True)
    if options["mode"] == "fail":
        print(f"error: {arguments.bags[0]} has no depth topic", file=sys.stderr)
        return 2
    if options["mode"] == "succeed":
        while "until" in options and not Path(options["until"]).exists():
            time.sleep(0.02)
        shutil.copytree(options["bundle"], run / "bundle")
        if arguments.sign:
            from edgevl_core.bundle.signing import sign_bundle

            sign_bundle(run / "bundle", arguments.sign)
        made = {"bundle_path": str(run / "bundle"), "bundle_id": id_of(run / "bundle")}
        status("succeeded", stage="done", progress=1.0, refused=options.get("refused", ""), **made)
        return 0
    if options["mode"] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run / "grandchild").write_text(str(grandchild.pid))
    time.sleep(600)
    return 1


def evaluate(arguments: argparse.Namespace) -> int:
    figures = []
    for bundle in (arguments.bundle, arguments.against):
        by_bag = []
        for bag in arguments.bags:
            by_bundle = json.loads((Path(bag) / "agreement.json").read_text())
            if id_of(Path(bundle)) not in by_bundle:
                print(f"error: {bundle} lacks labels of {arguments.labels}", file=sys.stderr)
                return 2
            rgb, depth = by_bundle[id_of(Path(bundle))]
            by_bag.append({"rgb": rgb, "depth": depth, "rgbd": 0.0})
        figures.append({"samples": 10, "teacher_agreement_by_bag": by_bag})
    print(json.dumps(figures[0] | {"current": figures[1]}))
    return 0


def id_of(bundle: Path) -> str:
    """The bundle's id; a directory without a manifest has its name."""
    manifest = bundle / "manifest.json"
    return json.loads(manifest.read_text())["bundle_id"] if manifest.is_file() else bundle.name


def disk_class() -> str:
    """How this process may use the disk, as ionice says; empty where ionice is not installed."""
    if shutil.which("ionice") is None:
        return ""
    return subprocess.run(["ionice", "-p", str(os.getpid())], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
