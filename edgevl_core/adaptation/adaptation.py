"""One adaptation at a time: begun, found again after a restart, looked at, ended; and the memory of it. No ROS."""

import time
from pathlib import Path

from edgevl_core.adaptation import records, state, worker_main
from edgevl_core.adaptation.child import Child, last_line, start_child
from edgevl_core.adaptation.records import BundleRef, Plan, Progress
from edgevl_core.adaptation.runs import remove_old_runs
from edgevl_core.adaptation.state import Job
from edgevl_core.base.errors import UserError


class Adaptation:
    """See the module's text.

    Args:
        directory: where runs and the memory are.

    Attributes:
        memory: see :class:`edgevl_core.adaptation.state.AdaptationState`; changed by ``remember``.
        plan: of the job at work, or the last one; None: none yet.

    Raises:
        UserError: the memory cannot be understood.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.memory = state.load(directory)
        self.plan: Plan | None = None
        self._child: Child | None = None
        self._cancelled = False

    @property
    def at_work(self) -> Plan | None:
        """The plan of the job whose end has not been seen; None: there is none."""
        return self.plan if self._child is not None else None

    def remember(self, **changes: object) -> None:
        """Change the state, on disk too. Raises UserError where that cannot be written; it is changed all the same."""
        self.memory = self.memory.model_copy(update=changes)
        state.save(self.directory, self.memory)

    def begin(self, plan: Plan, niceness: int) -> None:
        """Start a worker_main.

        Raises:
            UserError: a restart could not find it again, as the disk is full; none is left at work.
        """
        records.write(records.plan_file(plan.run), plan)
        records.progress_file(plan.run).unlink(missing_ok=True)  # of an earlier run of this name
        command, log = worker_main.command(plan.run), records.log_file(plan.run)
        self._child = start_child(command, log, niceness)
        self.plan, self._cancelled = plan, False
        started = Job(run=plan.run, pid=self._child.pid, born=self._child.born, command=tuple(command), log=log)
        before = self.memory
        try:
            self.remember(job=started, started_s=time.time(), pairs=self.memory.pairs.adapted())
        except UserError:
            self._child.end(0.0)
            self._child, self.memory = None, before
            raise

    def find(self) -> Plan | None:
        """Take up the job of an earlier life, running or ended; its plan, None where there is no job.

        Raises:
            UserError: its plan cannot be understood.
        """
        started = self.memory.job
        plan = None if started is None else records.read(Plan, records.plan_file(started.run))
        if started is None or plan is None:
            return None
        self.plan, self._child, self._cancelled = plan, Child(started.pid, started.born), False
        return plan

    def look(self) -> Progress | None:
        """How the job at work goes, None before its first word; any other state than "running" is its end.

        Raises:
            UserError: what it wrote cannot be understood.
        """
        if self._child is None or self.plan is None:
            return None
        running = self._child.is_running()  # before the file, which a job writes before it ends
        progress = records.read(Progress, records.progress_file(self.plan.run))
        if running:
            return progress and progress.model_copy(update={"state": "running"})
        self._child = None
        if self._cancelled and not _told_its_end(progress):
            stage = progress.stage if progress is not None and progress.stage else "starting"
            return Progress(state="cancelled", stage=stage, message=f"cancelled in stage {stage}")
        if progress is None or progress.state == "running":
            log = records.log_file(self.plan.run)
            why = f"its process ended without a word ({last_line(log) or 'no output'}), see {log}"
            return (progress or Progress(state="failed")).model_copy(update={"state": "failed", "message": why})
        return progress

    def end(self, grace_s: float) -> bool:
        """Cancel the job at work; blocks until it has ended, ``look`` tells how. False: it had come to its own end."""
        child, plan = self._child, self.plan
        if child is None or plan is None or not child.is_running():
            return False
        self._cancelled = True
        child.end(grace_s)
        return not _told_its_end(records.read(Progress, records.progress_file(plan.run)))

    def let_go(self) -> None:
        """Lose sight of the job at work, which goes on; ``find`` finds it again."""
        self._child = None

    def tidy(self, keep: int, current: BundleRef | None) -> list[Path]:
        """Remove old runs; those that were removed. The bundle in use and the one before are kept in any case."""
        used = [*self.memory.history[-2:], *([current] if current is not None else [])]
        return remove_old_runs(self.directory, keep, [Path(bundle.path) for bundle in used])


def _told_its_end(progress: Progress | None) -> bool:
    """Whether a job had come to its own end, though its process may still have been there to be cancelled."""
    return progress is not None and progress.state in ("succeeded", "failed")
