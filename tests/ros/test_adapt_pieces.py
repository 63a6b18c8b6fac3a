"""The adaptation's decisions, each from what is passed in: whether to load, what to keep."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgevl_core.adaptation import records, runs, state
from edgevl_core.adaptation.acceptance import Compared, comparisons, outdated, verdict
from edgevl_core.adaptation.hosts import SshHost
from edgevl_core.adaptation.records import BundleRef
from edgevl_core.adaptation.triggers import PairCount
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.signing import new_key
from edgevl_ros.adaptation.robot_state import labels_topic
from edgevl_ros.adaptation.settings import AdaptationParameters, settings
from tests.core.pairlog.test_hostile_metadata import HOSTILE

pytestmark = pytest.mark.unit
A, B, C = (BundleRef(path=f"/bundles/{name}", id=name) for name in "abc")


@pytest.mark.parametrize(
    ("compared", "refused"),
    [
        ([], ""),
        ([Compared("new", 0.80, 0.81)], ""),
        ([Compared("new", 0.80, 0.80)], "new"),
        ([Compared("old", 0.90, 0.89), Compared("new", 0.80, 0.81)], ""),
        ([Compared("old", 0.90, 0.88), Compared("new", 0.80, 0.95)], "old"),
        ([Compared("oldest", 0.5, 0.9), Compared("old", 0.9, 0.9), Compared("new", 0.8, 0.7)], "new"),
    ],
)
def test_better_on_the_newest_and_no_forgetting(compared, refused):
    reason = verdict(compared, min_gain=0.0, max_loss=0.01)
    assert bool(reason) == bool(refused)
    assert f"on {refused} " in reason if refused else reason == ""


def test_a_gain_must_be_more_than_asked_for():
    assert verdict([Compared("new", 0.80, 0.85)], min_gain=0.05, max_loss=0.0) != ""
    assert verdict([Compared("new", 0.80, 0.86)], min_gain=0.05, max_loss=0.0) == ""


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_bundle_never_replaces_its_equal(one, other, min_gain, max_loss):
    assert verdict([Compared("old", one, one), Compared("new", other, other)], min_gain, max_loss) != ""


def test_agreement_is_the_mean_of_rgb_and_depth_bag_by_bag():
    def written(*bags: dict) -> dict:
        return {"teacher_agreement_by_bag": list(bags)}

    march, april, june = {"rgb": 0.9, "depth": 0.7, "rgbd": 0.0}, {"rgb": 0.5, "depth": 0.5}, {"rgb": 1, "depth": 0.6}
    output = json.dumps(written(march, april) | {"current": written(april, june)}).encode()
    assert comparisons(["march", "april"], output, "x") == [
        Compared("march", 0.5, pytest.approx(0.8)),
        Compared("april", 0.8, 0.5),
    ]
    for figures in ({}, [], written(march), written(march) | {"current": written()}, written({"rgb": 0.9})):
        with pytest.raises(UserError, match="x: no teacher_agreement_by_bag"):
            comparisons(["march"], json.dumps(figures).encode(), "x")
    with pytest.raises(UserError, match="x wrote no JSON"):
        comparisons(["march"], b"error", "x")


def test_a_comparison_counts_while_its_rival_is_in_use():
    assert outdated(A, A) == outdated(None, None) == outdated(A, None) == ""
    assert "/bundles/b is in use" in outdated(A, B)
    assert "nothing" in outdated(None, B)


# -- history ---------------------------------------------------------------------------------------------


def on_disk(directory: Path, *names: str) -> list[BundleRef]:
    """Bundles that exist."""
    for name in names:
        (directory / name).mkdir()
    return [BundleRef(path=str(directory / name), id=name) for name in names]


def test_rollback_goes_back_bundle_by_bundle(tmp_path):
    first, second, third = on_disk(tmp_path, "first", "second", "third")
    history = state.after_load((), first, second)  # first: the classifier had it before this node loaded anything
    history = state.after_load(history, second, third)
    assert history == (first, second, third)
    back = state.previous(history, third)
    assert back == second
    history = state.after_rollback(history, back)
    assert state.previous(history, second) == first
    history = state.after_rollback(history, first)
    with pytest.raises(UserError, match="nothing to roll back to"):
        state.previous(history, first)


def test_rollback_from_a_bundle_that_somebody_else_loaded(tmp_path):
    mine, theirs = on_disk(tmp_path, "mine", "theirs")
    assert state.previous((mine,), theirs) == mine
    (tmp_path / "mine").rmdir()
    with pytest.raises(UserError, match="no longer there"):
        state.previous((mine,), theirs)


def test_the_history_is_bounded_and_survives(tmp_path):
    history: tuple[BundleRef, ...] = ()
    for number in range(100):
        history = state.after_load(history, None, BundleRef(path=str(number), id=str(number)))
    assert len(history) == state.MAX_HISTORY
    kept = state.AdaptationState(history=history, started_s=1.5, pairs=PairCount(closed=3))
    state.save(tmp_path, kept)
    assert state.load(tmp_path) == kept
    assert state.load(tmp_path / "elsewhere") == state.AdaptationState()
    (tmp_path / state.FILE).write_text("{")
    with pytest.raises(UserError, match="remove the file"):
        state.load(tmp_path)


# -- files -----------------------------------------------------------------------------------------------


def make_run(directory: Path, name: str, age_s: float, *, bundle: bool = True, inputs: bool = True) -> Path:
    """A run of this manager with all its files."""
    run = directory / name
    run.mkdir()
    if bundle:
        (run / "bundle").mkdir()
    if inputs:
        (run / "inputs.json").write_text("{}")
    for file in (records.plan_file(run), records.progress_file(run), records.log_file(run)):
        file.write_text("")
    at = 1.7e9 - age_s
    os.utime(records.plan_file(run), (at, at))
    return run


def test_old_runs_go_but_not_what_is_in_use_or_not_ours(tmp_path):
    named = {name: make_run(tmp_path, name, age_s) for age_s, name in enumerate(["r9", "r8", "r7", "r6", "r5"])}
    failed = make_run(tmp_path, "failed", 0.5, bundle=False)
    not_a_run = make_run(tmp_path, "notes", 99, inputs=False)
    by_hand = tmp_path / "by_hand"
    (by_hand / "bundle").mkdir(parents=True)
    (by_hand / "inputs.json").write_text("{}")
    removed = runs.remove_old_runs(tmp_path, 2, [named["r6"] / "bundle", Path("/elsewhere/bundle")])
    assert removed == [named["r7"], named["r5"]]
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"r9", "r8", "r6", failed.name, not_a_run.name, by_hand.name}
    assert not list(tmp_path.glob("r7*"))


def make_bag(directory: Path, messages: int) -> Path:
    """A directory with a bag's metadata."""
    directory.mkdir(parents=True)
    topics = [{"topic_metadata": {"name": "/rgb"}, "message_count": messages}]
    content = {"rosbag2_bagfile_information": {"message_count": messages, "topics_with_message_count": topics}}
    (directory / "metadata.yaml").write_text(yaml.safe_dump(content))
    return directory


def test_logs_are_adapted_to_once_they_are_closed_and_hold_something(tmp_path):
    for name, messages in (("pairs_1", 4), ("pairs_2", 0), ("pairs_3", 6)):
        make_bag(tmp_path / name, messages)
    (tmp_path / "no_bag").mkdir()
    damaged = make_bag(tmp_path / "pairs_4", 1)
    (damaged / "metadata.yaml").write_text("{")
    assert runs.closed_logs(tmp_path, "") == [str(tmp_path / "pairs_1"), str(tmp_path / "pairs_3")]
    assert runs.closed_logs(tmp_path, str(tmp_path / "x/../pairs_3")) == [str(tmp_path / "pairs_1")]


@pytest.mark.parametrize("name", ["nested", "nested lists", "bomb", "merge bomb", "itself", "not UTF-8", "large"])
def test_a_foreign_folder_among_the_logs_stops_nobody(tmp_path, name):
    log, foreign = make_bag(tmp_path / "pairs_1", 4), make_bag(tmp_path / "foreign", 4)
    text = HOSTILE[name]
    (foreign / "metadata.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    started_s = time.process_time()
    assert runs.closed_logs(tmp_path, "") == [str(log)]
    assert time.process_time() - started_s < 5.0


# -- parameters ------------------------------------------------------------------------------------------


def values(tmp_path: Path, **given: Any) -> AdaptationParameters:
    """All parameters, the given ones over their defaults."""
    return AdaptationParameters(**{"out_dir": str(tmp_path / "runs"), "executable": "true", **given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"trigger_time": "25:00-26:00", "bags": ("a",)}, "HH:MM-HH:MM"),
        ({"trigger_time": "02:00-05:00"}, "name what to adapt to"),
        ({"trigger_new_pairs": 5, "bags": ("a",)}, "trigger_new_pairs needs"),
        ({"bags": ("a", "b"), "held_back": ("./b",)}, "both name b"),
        ({"remote_host": "-oProxyCommand=x"}, "remote_host = '-oProxyCommand=x'"),
        ({"remote_host": "a b"}, "remote_host"),
        ({"remote_host": "robot@host", "remote_directory": "a;b"}, "remote_directory = 'a;b'"),
        ({"remote_host": "robot@host", "remote_directory": "../up"}, "remote_directory"),
        ({"remote_host": "host", "remote_command": ()}, "remote_command is empty"),
        ({"remote_host": "host", "remote_command": ("",)}, "remote_command is empty"),
        ({"remote_host": "host", "remote_command": (" ", "edgevl")}, "remote_command is empty"),
        ({"signing_key": "/no/such/key"}, "key file /no/such/key cannot be used"),
        ({"run_name": "../../x"}, "run_name = '../../x'"),
        ({"run_name": "/tmp/x"}, "run_name"),
        ({"run_name": ".."}, "run_name"),
        ({"run_name": "-x"}, "run_name"),
        ({"run_name": "a\nb"}, "run_name"),
        ({"executable": "no_such_program"}, "no_such_program"),
        ({"out_dir": "/proc/none"}, "out_dir = /proc/none cannot be made"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(tmp_path, given, told):
    with pytest.raises(UserError, match=told.replace("(", r"\(")) as error:
        settings(values(tmp_path, **given))
    assert "\n" not in str(error.value)


def test_a_plan_takes_the_closed_logs_but_for_those_held_back(tmp_path):
    first, newest, log, open_log = (str(make_bag(tmp_path / "logs" / name, 1)) for name in ("a", "b", "c", "d"))
    given = values(
        tmp_path,
        bags=(first,),
        log_directory=str(tmp_path / "logs"),
        held_back=(newest,),
        teacher="T",
        labels="L",
        run_name="run",
    )
    made = settings(given).plan(A, open_log, "why")
    assert made.bags == (first, log)
    assert (made.current, made.held_back, made.reason, made.remote) == (A, (newest,), "why", None)
    assert made.run == tmp_path / "runs/run"
    assert records.Plan.model_validate_json(made.model_dump_json()) == made


def test_the_key_is_where_the_adaptation_runs(tmp_path, monkeypatch):
    new_key(tmp_path / "key.pem")
    given = values(tmp_path, bags=("bag",), teacher="T", labels="L", signing_key=str(tmp_path / "key.pem"))
    assert settings(given).plan(None, "", "why").signing_key == str(tmp_path / "key.pem")
    for name in ("ssh", "rsync"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # On the workstation it is a path there.
    given = replace(given, remote_host="host", signing_key="keys/there.pem")
    assert settings(given).plan(None, "", "why").signing_key == "keys/there.pem"
    arguments = records.adapt_arguments(["-b"], "T", "L", "out", "", [], "keys/there.pem")
    assert arguments[-4:] == ["--sign", "keys/there.pem", "--", "-b"]
    assert "--sign" not in records.adapt_arguments(["-b"], "T", "L", "out", "", [])


def test_a_plan_starts_from_the_run_that_made_the_bundle_in_use(tmp_path):
    run = tmp_path / "runs/monday"
    given = values(tmp_path, bags=("bag",), teacher="T", labels="L", start_from_current=True)
    made_here = BundleRef(path=str(run / "bundle"), id="of monday")
    run.mkdir(parents=True)
    assert settings(given).plan(made_here, "", "why").start_from is None  # the run is not this manager's
    records.plan_file(run).touch()
    assert settings(given).plan(made_here, "", "why").start_from == run
    assert settings(given).plan(A, "", "why").start_from is None
    assert settings(given).plan(None, "", "why").start_from is None
    assert settings(replace(given, start_from_current=False)).plan(made_here, "", "why").start_from is None


def test_a_bundle_made_by_hand_is_gone_on_from_where_its_run_is(tmp_path):
    run = tmp_path / "elsewhere/base"
    run.mkdir(parents=True)
    given = values(tmp_path, bags=("bag",), teacher="T", labels="L")
    bundle = BundleRef(path=str(run / "bundle"), id="by hand")
    assert settings(given).plan(bundle, "", "why").start_from is None  # the bundle alone was copied here
    (run / "inputs.json").touch()
    assert settings(given).plan(bundle, "", "why").start_from == run
    records.plan_file(run).touch()
    assert settings(given).plan(bundle, "", "why").start_from is None  # another manager's, who may remove it


def test_a_bundle_that_is_used_through_a_link_is_of_the_run_where_it_lies(tmp_path):
    (tmp_path / "disk/runs/monday/bundle").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk/runs")
    run, current = tmp_path / "runs/monday", tmp_path / "current"
    current.symlink_to(tmp_path / "disk/runs/monday/bundle")
    bundle = BundleRef(path=str(current), id="of monday")
    records.plan_file(run).touch()
    assert runs.made_by(tmp_path / "runs", bundle) == run  # spelt as the manager spells its directory
    assert runs.made_by(tmp_path, bundle) is None
    records.plan_file(run).unlink()
    (run / "inputs.json").touch()
    assert runs.made_by(tmp_path, bundle) == tmp_path / "disk/runs/monday"


def test_runs_are_told_by_their_whole_path(tmp_path, monkeypatch):
    """The classifier that is asked to load a bundle may have another working directory."""
    monkeypatch.chdir(tmp_path)
    assert runs.make_directory("adaptations", "out_dir") == tmp_path / "adaptations"


@pytest.mark.parametrize(
    "name", ["bags", "held_back", "log_directory", "labels", "recipe", "base_run", "signing_key", "out_dir"]
)
def test_a_home_directory_that_is_nobodys_is_said_before_an_adaptation(tmp_path, name):
    path = "~nosuchuser/x"
    given = replace(values(tmp_path), **{name: (path,) if name in ("bags", "held_back") else path})
    with pytest.raises(UserError, match=f"^parameter {name} = '{path}': this machine knows no such home directory"):
        settings(given)


def test_a_run_that_was_removed_is_not_gone_back_to(tmp_path):
    run = tmp_path / "runs/monday"
    run.mkdir(parents=True)
    plans = settings(values(tmp_path, bags=("bag",), teacher="T", labels="L"))
    made = plans.plan(None, "", "why").model_copy(update={"run": run, "start_from": tmp_path / "runs/removed"})
    records.write(records.plan_file(run), made)
    assert plans.plan(BundleRef(path=str(run / "bundle"), id="m"), "", "why").start_from == run


def test_every_night_begins_with_the_run_that_the_first_one_began_with(tmp_path):
    """Not with last night's, and with the recipe for one home, unless another is named."""
    given = values(tmp_path, bags=("bag",), teacher="T", labels="L")
    plans = settings(given)
    base, monday, tuesday = (tmp_path / "runs" / name for name in ("base", "monday", "tuesday"))
    for run, start in ((base, None), (monday, base), (tuesday, monday)):
        run.mkdir(parents=True)
        made = plans.plan(None, "", "why").model_copy(update={"run": run, "start_from": start})
        records.write(records.plan_file(run), made)
    made = plans.plan(BundleRef(path=str(tuesday / "bundle"), id="t"), "", "why")
    assert made.start_from == base
    assert Path(made.recipe).name == "home.yaml"
    named = replace(given, base_run=str(tmp_path / "elsewhere"), recipe="mine.yaml")
    other = settings(named).plan(BundleRef(path=str(tuesday / "bundle"), id="t"), "", "why")
    assert (other.start_from, other.recipe) == (tmp_path / "elsewhere", "mine.yaml")
    assert settings(given).plan(None, "", "why").recipe == ""  # no student yet: edgevl adapt's own default


def test_the_run_that_a_bundle_in_use_goes_back_to_is_kept(tmp_path):
    plans = settings(values(tmp_path, bags=("bag",), teacher="T", labels="L"))
    made_here = [tmp_path / "runs" / name for name in ("base", "spare", "monday")]
    for number, run in enumerate(made_here):
        (run / "bundle").mkdir(parents=True)
        (run / "inputs.json").touch()
        start = made_here[0] if number == 2 else None
        made = plans.plan(None, "", "why").model_copy(update={"run": run, "start_from": start})
        records.write(records.plan_file(run), made)
        os.utime(records.plan_file(run), (number, number))
    assert runs.remove_old_runs(tmp_path / "runs", 1, [made_here[2] / "bundle"]) == [made_here[1]]
    assert [run.exists() for run in made_here] == [True, False, True]


def test_the_classifier_is_heard_beside_its_service():
    assert labels_topic("scene_classifier/load_bundle") == "scene_classifier/labels"
    assert labels_topic("/robot/classifier/load_bundle") == "/robot/classifier/labels"


def test_no_value_reaches_the_workstations_shell_unquoted():
    nasty = "bag'; touch /tmp/x; $(reboot)"
    command = SshHost(records.Remote(host="h", directory="d", command=("edgevl",))).command(["edgevl", "adapt", nasty])
    assert command[0] == "ssh"
    assert command[-2] == "h"
    shown = os.popen(f'set -- {command[-1]}; for part in "$@"; do printf \'%s\\n\' "$part"; done').read()
    assert shown.splitlines()[-3:] == ["edgevl", "adapt", nasty]
    assert json.dumps(command[1:-3]).count("yes") == 2
