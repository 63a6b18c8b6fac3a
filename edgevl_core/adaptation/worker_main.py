"""The adaptation's child process: inputs out, `edgevl adapt`, bundle back, comparison with the current one. No ROS.

``python -m edgevl_core.adaptation.worker_main RUN.plan.json``. It needs nobody to watch it: who reads
RUN.progress.json knows where it is, and how it ended. The training itself is one more process down: torch is never
imported here.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edgevl_core.adaptation.acceptance import comparisons, verdict
from edgevl_core.adaptation.child import last_line
from edgevl_core.adaptation.hosts import Host, LocalHost, SshHost, StepFailed, call, running
from edgevl_core.adaptation.records import (
    Plan,
    Progress,
    adapt_arguments,
    log_file,
    parse,
    plan_file,
    progress_file,
    read,
    write,
)
from edgevl_core.base.errors import UserError

Tell = Callable[[Progress], None]
CANCELLED = 130
TELL_AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before the end is told again, where it could not be written."""


class Cancelled(Exception):
    """SIGTERM came; the programs of this process's group have got it too."""


class Failed(Exception):
    """The adaptation failed; the message is the reason.

    Attributes:
        code: exit code to give.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def command(run: Path) -> list[str]:
    """The command that does the job of RUN.plan.json."""
    return [sys.executable, "-m", "edgevl_core.adaptation.worker_main", str(plan_file(run))]


def main() -> int:
    """Do the plan named on the command line; returns the exit code."""
    plan = read(Plan, Path(sys.argv[1]))
    if plan is None:
        raise FileNotFoundError(sys.argv[1])
    signal.signal(signal.SIGTERM, _cancel)
    tell = _teller(progress_file(plan.run))
    try:
        end = adapt(plan, SshHost(plan.remote) if plan.remote else LocalHost(plan.program), tell)
    except Cancelled:
        end = Progress(state="cancelled", exit_code=CANCELLED)
    except Failed as error:
        end = Progress(state="failed", message=str(error), exit_code=error.code)
    except (StepFailed, OSError, UserError) as error:
        reason = last_line(log_file(plan.run))
        code = error.code if isinstance(error, StepFailed) else 1
        end = Progress(state="failed", message=f"{error}: {reason}" if reason else str(error), exit_code=code)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing is left to cancel, and how it ended is told
    return 0 if _told(progress_file(plan.run), end) and end.state == "succeeded" else 1


def adapt(plan: Plan, host: Host, tell: Tell) -> Progress:
    """Adapt, bring the bundle here, compare it; what was made.

    Raises:
        Cancelled: by SIGTERM, everything it had started has ended.
        Failed: `edgevl adapt` failed.
        StepFailed: a copy failed.
    """
    tell(Progress(state="running", stage="send" if plan.remote else "starting"))
    labels = host.put(plan.labels)
    recipe = host.put(plan.recipe) if plan.recipe else ""
    bags = [host.put(bag) for bag in plan.bags]
    out = host.run_path(plan.run)
    overrides = [*plan.overrides]
    if plan.start_from is not None:
        # A run that this manager has started still lies on the workstation; base_run is a path there.
        made_here = plan.start_from.parent == plan.run.parent
        start = host.run_path(plan.start_from) if made_here else str(plan.start_from)
        overrides.append(f"student.start_from={start}")
    arguments = adapt_arguments(bags, plan.teacher, labels, out, recipe, overrides, plan.signing_key)
    made = _train(host, [*host.program, *arguments], out, log_file(plan.run), tell)
    if plan.remote:
        made = made.model_copy(update={"bundle_path": str(plan.run / "bundle")})
    at_work = made.model_copy(update={"state": "running", "progress": 1.0, "eta_s": None, "exit_code": None})
    if plan.remote:
        tell(at_work.model_copy(update={"stage": "fetch", "message": ""}))
        host.fetch(plan.run)
    # What the adaptation itself found is decided first: a student that it doubts need not be compared.
    refused = made.refused or compare(plan, host, made, lambda text: tell(at_work.model_copy(update=_comparing(text))))
    return made.model_copy(update={"exit_code": 0, "refused": refused})


def _train(host: Host, arguments: list[str], out: str, log: Path, tell: Tell) -> Progress:
    """Run `edgevl adapt` to its end and pass its progress on."""
    told = None
    with running(host.command(arguments), host.stdin) as process:
        while process.poll() is None:
            try:
                process.wait(host.poll_s)
            except subprocess.TimeoutExpired:
                now = _status(host, out)
                if now is not None and now.state == "running" and now != told:
                    tell(now)
                    told = now
    final = _status(host, out)
    if process.returncode != 0:
        reason = final.message if final is not None and final.state == "failed" else ""
        code = process.returncode
        raise Failed(code, reason or last_line(log) or f"exit code {code}, see {log}")
    if final is None or final.state != "succeeded" or not final.bundle_path:
        raise Failed(1, f"{out}/status.json names no bundle; see {log}")
    return final


def _status(host: Host, out: str) -> Progress | None:
    """What `edgevl adapt` says of itself; None where it has said nothing, or nothing that can be understood."""
    content = host.read(f"{out}/status.json")
    try:
        return parse(Progress, content, f"{out}/status.json") if content else None
    except UserError as error:  # told, and no reason to lose sight of the training
        _say(f"error: {error}")
        return None


def compare(plan: Plan, host: Host, made: Progress, on_step: Callable[[str], None]) -> str:
    """Why the bundle should not replace the current one; empty: it may."""
    if plan.current is None or not plan.held_back:
        return ""
    try:
        current = host.put(plan.current.path)
        candidate = f"{host.run_path(plan.run)}/bundle" if plan.remote else made.bundle_path
        labels = host.put(plan.labels)
        bags = [host.put(bag) for bag in plan.held_back]
        on_step(f"candidate and current bundle on {', '.join(plan.held_back)}")
        # Both over the same labels: those that the robot is to tell apart from now on.
        arguments = ["evaluate", "--teacher", plan.teacher, "--labels", labels, "--against", current, "--json", "-"]
        output = call(host.command([*host.program, *arguments, "--", candidate, *bags]), host.stdin, subprocess.PIPE)
        compared = comparisons(plan.held_back, output, f"edgevl evaluate {candidate} --against {current}")
        for each in compared:
            _say(f"{each.bag}: agreement with the teacher {each.candidate}, now {each.current}")
    except (StepFailed, UserError) as error:
        return f"the comparison failed ({error}: {last_line(log_file(plan.run))})"
    return verdict(compared, plan.min_gain, plan.max_loss)


def _comparing(text: str) -> dict[str, str]:
    return {"stage": "compare", "message": text}


def _teller(file: Path) -> Tell:
    """What writes progress to ``file``; a disk that is full for a while costs a word, not the adaptation."""

    def tell(progress: Progress) -> None:
        try:
            write(file, progress)
        except UserError as error:
            _say(f"error: {error}")

    return tell


def _told(file: Path, end: Progress) -> bool:
    """Write how it ended, again after a while where that fails; whether it could be written."""
    for wait_s in (0.0, *TELL_AGAIN_S):
        time.sleep(wait_s)
        try:
            write(file, end)
        except UserError as error:
            _say(f"error: {error}")
        else:
            return True
    return False


def _say(text: str) -> None:
    """A line for the log, which lies on the same disk: where that is full the line is lost."""
    with suppress(OSError):
        print(text, flush=True)


def _cancel(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is orderly
    raise Cancelled


if __name__ == "__main__":
    raise SystemExit(main())
