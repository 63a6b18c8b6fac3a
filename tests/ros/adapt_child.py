"""A stand-in for ``edgevl adapt``: keeps its contract (arguments, status, exit code), trains nothing.

What it does comes by ``--set``: mode=succeed|fail|hang|stubborn, bundle=DIR.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("bags", nargs="+")
    for name in ("--teacher", "--labels", "--out", "--recipe"):
        parser.add_argument(name)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    options = dict(option.split("=", 1) for option in arguments.set)
    run = Path(arguments.out)
    run.mkdir()
    (run / "seen.json").write_text(
        json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "nice": os.nice(0)})
    )

    def status(state: str, **fields: object) -> None:
        (run / "new").write_text(json.dumps({"state": state, "eta_s": 12.5, **fields}))
        os.replace(run / "new", run / "status.json")

    status("running", stage="distil", progress=0.25, message="epoch 1 of 4")
    print("training")
    if options["mode"] == "fail":
        print(f"error: {arguments.bags[0]} has no depth topic", file=sys.stderr)
        return 2
    if options["mode"] == "succeed":
        status("succeeded", stage="done", progress=1.0, bundle_path=options["bundle"], bundle_id="abc")
        return 0
    if options["mode"] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run / "grandchild").write_text(str(grandchild.pid))
    time.sleep(600)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
