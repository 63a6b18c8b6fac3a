"""Jobs as real processes, without a node: here and on a workstation, across restarts, compared, cancelled."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevl_core.adaptation import records, worker_main
from edgevl_core.adaptation.adaptation import Adaptation
from edgevl_core.adaptation.child import Child, born, start_child
from edgevl_core.adaptation.records import BundleRef, Plan, Progress, Remote
from edgevl_core.base.errors import UserError

pytestmark = pytest.mark.unit
HERE = Path(__file__).parent
TIMEOUT_S = 60.0


def until(condition: Callable[[], object], what: str) -> object:
    """Wait until ``condition`` holds; its value."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{what} did not happen"
        time.sleep(0.02)
    return value


def is_gone(pid: int) -> bool:
    return born(pid) == ""


def ended(adaptation: Adaptation) -> Progress:
    """How the job at work ended."""

    def look() -> Progress | None:
        progress = adaptation.look()
        return progress if progress is not None and progress.state != "running" else None

    return until(look, f"the end of the job; {records.log_file(adaptation.plan.run)}")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What the stand-in makes its bundle of; its id is "new"."""
    path = tmp_path / "made"
    path.mkdir()
    (path / "manifest.json").write_text('{"bundle_id": "new"}')
    return path


@pytest.fixture
def plan(tmp_path: Path, bundle: Path) -> Plan:
    (tmp_path / "runs").mkdir()
    (tmp_path / "home.yaml").write_text("labels: []\n")
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag/data.mcap").write_text("pictures")
    return Plan(
        run=tmp_path / "runs/run",
        program=(sys.executable, str(HERE / "adapt_child.py")),
        bags=(str(tmp_path / "bag"),),
        teacher="T",
        labels=str(tmp_path / "home.yaml"),
        overrides=("mode=succeed", f"bundle={bundle}"),
    )


def changed(plan: Plan, mode: str = "", *overrides: str, **fields: object) -> Plan:
    """``plan`` with another mode, further overrides, other fields."""
    kept = plan.overrides[1:] if mode else plan.overrides
    given = ((f"mode={mode}",) if mode else ()) + kept + overrides
    return plan.model_copy(update={"overrides": given, **fields})


# -- across restarts -------------------------------------------------------------------------------------


def test_a_job_goes_on_when_its_starter_is_killed_and_is_found_again(tmp_path, plan):
    go_on = tmp_path / "go_on"
    records.write(tmp_path / "plan.json", changed(plan, "", f"until={go_on}"))
    starter = (
        "import os, signal; from pathlib import Path; from edgevl_core.adaptation import records; "
        "from edgevl_core.adaptation.adaptation import Adaptation; "
        f"plan = records.read(records.Plan, Path({str(tmp_path / 'plan.json')!r})); "
        "Adaptation(plan.run.parent).begin(plan, 0); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", starter], check=False).returncode == -signal.SIGKILL
    second = Adaptation(tmp_path / "runs")
    assert second.find()
    assert second.at_work
    assert second.plan.run == plan.run
    until(lambda: (seen := second.look()) and seen.stage == "distil", "its progress")
    go_on.touch()
    final = ended(second)
    assert (final.state, final.exit_code, final.bundle_id) == ("succeeded", 0, "new")
    assert final.bundle_path == str(plan.run / "bundle")
    # Ended, but not dealt with: the next life finds it too, with the same end.
    third = Adaptation(tmp_path / "runs")
    assert third.find()
    assert ended(third) == final
    third.remember(job=None)
    assert not Adaptation(tmp_path / "runs").find()


def test_another_process_of_the_same_number_is_not_taken_for_the_job(tmp_path, plan):
    first = Adaptation(tmp_path / "runs")
    first.begin(changed(plan, "hang"), 0)
    until(lambda: (plan.run / "grandchild").exists(), "the job at work")
    assert first.end(TIMEOUT_S)
    assert first.look().state == "cancelled"
    started = first.memory.job
    other = start_child(["sleep", "600"], tmp_path / "log", 0)
    try:
        assert Child(other.pid, other.born).is_running()
        first.remember(job=started.model_copy(update={"pid": other.pid}))
        second = Adaptation(tmp_path / "runs")
        assert second.find()
        assert not second.end(1.0)  # must not touch the stranger
        assert other.is_running()
        assert second.look().state == "cancelled"
    finally:
        other.end(1.0)
    assert not other.is_running()


def test_a_job_that_could_not_be_found_again_is_not_left_at_work(tmp_path, plan, monkeypatch):
    adaptation = Adaptation(tmp_path / "runs")
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "runs" / "manager.json").mkdir()  # nothing can take its place
    begun = []
    monkeypatch.setattr(
        "edgevl_core.adaptation.adaptation.start_child", lambda *given: begun.append(start_child(*given)) or begun[0]
    )
    with pytest.raises(UserError, match=r"manager\.json cannot be written"):
        adaptation.begin(changed(plan, "hang"), 0)
    assert not begun[0].is_running()
    assert adaptation.at_work is None
    assert adaptation.memory.job is None


def test_a_job_that_is_killed_is_told_as_such(tmp_path, plan):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "hang"), 0)
    grandchild = int(until(lambda: (file := plan.run / "grandchild").exists() and file.read_text(), "work"))
    os.killpg(adaptation.memory.job.pid, signal.SIGKILL)
    final = ended(adaptation)
    assert (final.state, final.exit_code) == ("failed", None)
    assert "ended without a word" in final.message
    until(lambda: is_gone(grandchild), "the end of the grandchild")


def disk_takes(pid: int, most_bytes: int) -> None:
    """The process can make no file larger than this: what it meets is what a full disk is."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_for_a_while_costs_no_adaptation(tmp_path, plan):
    """Neither while the training tells its progress, nor when it tells its end."""
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "", f"until={tmp_path / 'go'}"), 0)
    until(lambda: (now := adaptation.look()) is not None and now.stage == "distil", "the training")
    worker = adaptation.memory.job.pid
    folder = records.progress_file(plan.run).parent

    def tried() -> int:
        """A file is made and taken away again in the folder by each try to write, also by one that fails."""
        return folder.stat().st_mtime_ns

    for full in (True, False):
        disk_takes(worker, 0 if full else resource.RLIM_INFINITY)
        message, before = f"full: {full}", tried()
        records.write(plan.run / "status.json", Progress(state="running", stage="distil", message=message))
        if full:
            until(lambda since=before: tried() != since, "it to be told in vain")
            assert adaptation.look().message != message
        else:
            until(lambda told=message: adaptation.look().message == told, "what it told afterwards")
    disk_takes(worker, 0)
    (tmp_path / "go").touch()
    until(lambda: records.read(Progress, plan.run / "status.json").state == "succeeded", "the bundle")
    before = tried()
    until(lambda: tried() != before, "the end to be told in vain")
    assert adaptation.look().state == "running"
    disk_takes(worker, resource.RLIM_INFINITY)
    final = ended(adaptation)
    assert (final.state, final.bundle_id) == ("succeeded", "new")


def test_an_end_that_cannot_be_told_is_said_in_one_line(tmp_path, plan, monkeypatch, capsys):
    monkeypatch.setattr(worker_main, "TELL_AGAIN_S", (0.0, 0.0))
    monkeypatch.setattr(sys, "argv", ["worker_main", str(records.plan_file(plan.run))])
    records.write(records.plan_file(plan.run), plan)
    records.progress_file(plan.run).mkdir()  # where a file should be
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert worker_main.main() == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(re.fullmatch(r"error: .*progress\.json cannot be written .*", line) for line in lines)


def test_a_job_that_ended_by_itself_is_not_cancelled(tmp_path, plan):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(plan, 0)
    until(lambda: is_gone(adaptation.memory.job.pid), "its end, at which nobody looked")
    assert not adaptation.end(1.0)
    final = adaptation.look()
    assert (final.state, final.bundle_id) == ("succeeded", "new")


def test_a_job_that_has_told_its_end_is_not_cancelled_while_its_process_leaves(tmp_path, plan, monkeypatch):
    told = Progress(state="succeeded", bundle_id="new")
    leaving = f"import pathlib, time; pathlib.Path({str(tmp_path / 'told')!r}).touch(); time.sleep(600)"
    monkeypatch.setattr("edgevl_core.adaptation.worker_main.command", lambda run: [sys.executable, "-c", leaving])
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(plan, 0)
    until((tmp_path / "told").exists, "the process")
    records.write(records.progress_file(plan.run), told)
    assert not adaptation.end(TIMEOUT_S)
    assert adaptation.look() == told


def test_an_error_of_the_training_is_the_reason(tmp_path, plan):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "fail"), 0)
    final = ended(adaptation)
    assert (final.state, final.exit_code) == ("failed", 2)
    assert final.message == f"error: {plan.bags[0]} has no depth topic"


# -- comparison ------------------------------------------------------------------------------------------


def held_back(tmp_path: Path, **agreement: dict[str, tuple[float, float]]) -> dict[str, object]:
    """Fields of a plan: bags with what the stand-in says of each bundle on them (rgb, depth); a current bundle."""
    for name, by_bundle in agreement.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "agreement.json").write_text(json.dumps(by_bundle))
    (tmp_path / "old").mkdir()
    current = BundleRef(path=str(tmp_path / "old"), id="old")
    return {"held_back": tuple(str(tmp_path / name) for name in agreement), "current": current, "max_loss": 0.01}


@pytest.mark.parametrize(
    ("march", "april", "refused"),
    [
        ({"old": (0.9, 0.7), "new": (0.9, 0.7)}, {"old": (0.6, 0.6), "new": (0.7, 0.7)}, ""),
        ({"old": (0.9, 0.7), "new": (0.9, 0.7)}, {"old": (0.6, 0.6), "new": (0.7, 0.5)}, "april 0.6000, now 0.6000"),
        ({"old": (0.9, 0.7), "new": (0.9, 0.5)}, {"old": (0.6, 0.6), "new": (0.7, 0.7)}, "march 0.7000, now 0.8000"),
        ({"old": (0.9, 0.7)}, {"old": (0.6, 0.6)}, "lacks labels of"),
    ],
)
def test_a_bundle_is_compared_on_what_was_held_back(tmp_path, plan, march, april, refused):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, **held_back(tmp_path, march=march, april=april)), 0)
    final = ended(adaptation)
    assert (final.state, final.exit_code) == ("succeeded", 0)
    assert (plan.run / "bundle").is_dir()
    assert refused in final.refused if refused else final.refused == ""


def test_the_training_is_told_which_run_to_start_from(tmp_path, plan):
    earlier = tmp_path / "runs/earlier"
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, start_from=earlier), 0)
    assert ended(adaptation).state == "succeeded"
    seen = json.loads((plan.run / "seen.json").read_text())
    options = seen["arguments"][: seen["arguments"].index("--")]
    assert options[-2:] == ["--set", f"student.start_from={earlier}"]


def test_a_bundle_that_the_adaptation_doubts_is_refused_before_any_comparison(tmp_path, plan):
    fields = held_back(tmp_path, march={"old": (0.1, 0.1), "new": (0.9, 0.9)})
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "", "refused=keep the student before", **fields), 0)
    final = ended(adaptation)
    assert (final.state, final.refused) == ("succeeded", "keep the student before")


def test_the_first_bundle_has_nothing_to_beat(tmp_path, plan):
    fields = held_back(tmp_path, march={})
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, **{**fields, "current": None}), 0)
    assert ended(adaptation).refused == ""


# -- on a workstation ------------------------------------------------------------------------------------


@pytest.fixture
def workstation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of a host "desk", reached by stand-ins for ssh and rsync."""
    home, programs = tmp_path / "desk's home", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    (home / "known_hosts").write_text("desk\n")
    for name in ("ssh", "rsync"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{HERE / "remote_tools.py"}" {name} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WORKSTATION", str(home))
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    return home


def remote(plan: Plan, host: str = "desk") -> dict[str, object]:
    """Fields of a plan that is carried out there."""
    return {"remote": Remote(host=host, directory="work/edgevl", command=plan.program), "program": ()}


def test_a_workstation_adapts_and_compares_for_the_robot(tmp_path, plan, workstation):
    odd = tmp_path / "bag; $(touch 'oh no')"
    shutil.copytree(plan.bags[0], odd)
    fields = held_back(tmp_path, april={"old": (0.6, 0.6), "new": (0.7, 0.7)})
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, **fields, **remote(plan), bags=(*plan.bags, str(odd))), 0)
    final = ended(adaptation)
    log = records.log_file(plan.run).read_text()
    assert (final.state, final.exit_code, final.refused) == ("succeeded", 0, ""), log
    assert "agreement with the teacher" in log
    assert final.bundle_path == str(plan.run / "bundle")
    assert (plan.run / "bundle/manifest.json").read_text() == '{"bundle_id": "new"}'
    assert (plan.run / "inputs.json").is_file()
    there = workstation / "work/edgevl"
    seen = json.loads((there / "runs/run/seen.json").read_text())
    used = [workstation / path for path in seen["arguments"][-2:]]
    assert [path.name for path in used] == ["bag", odd.name]
    assert [(path / "data.mcap").read_text() for path in used] == ["pictures", "pictures"]
    assert not list(tmp_path.rglob("oh no"))
    assert "WORKSTATION" not in seen["environment"]


def test_cancel_ends_the_job_on_the_workstation(tmp_path, plan, workstation):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "hang", **remote(plan)), 0)
    file = workstation / "work/edgevl/runs/run/grandchild"
    grandchild = int(until(lambda: file.exists() and file.read_text(), "the job at work there"))
    until(lambda: (seen := adaptation.look()) and seen.stage == "distil", "its progress here")
    adaptation.end(5.0)
    assert adaptation.look().state == "cancelled"
    until(lambda: is_gone(grandchild), "the end of what it had started there")
    assert not plan.run.exists()


def test_a_robot_that_breaks_down_leaves_no_job_on_the_workstation(tmp_path, plan, workstation):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "hang", **remote(plan)), 0)
    file = workstation / "work/edgevl/runs/run/grandchild"
    grandchild = int(until(lambda: file.exists() and file.read_text(), "the job at work there"))
    os.killpg(adaptation.memory.job.pid, signal.SIGKILL)
    assert ended(adaptation).state == "failed"
    until(lambda: is_gone(grandchild), "the end of what it had started there")


def test_a_host_whose_key_is_not_known_gets_nothing(tmp_path, plan, workstation):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, **remote(plan, host="stranger")), 0)
    final = ended(adaptation)
    assert (final.state, final.exit_code) == ("failed", 255)
    assert final.message.endswith("Host key verification failed.")
    assert not (workstation / "work").exists()


def test_the_reason_of_a_failure_there_is_told_here(tmp_path, plan, workstation):
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, "fail", **remote(plan)), 0)
    final = ended(adaptation)
    assert (final.state, final.exit_code) == ("failed", 2)
    assert "has no depth topic" in final.message


def test_a_bag_called_like_an_option_is_a_bag(tmp_path, plan):
    """The stand-in reads its arguments as the real program does: nothing behind -- is an option."""
    adaptation = Adaptation(tmp_path / "runs")
    adaptation.begin(changed(plan, bags=("--dry-run", "-h")), 0)
    assert ended(adaptation).state == "succeeded"
    seen = json.loads((plan.run / "seen.json").read_text())
    assert seen["arguments"][-3:] == ["--", "--dry-run", "-h"]
