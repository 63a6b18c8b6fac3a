"""Parameter files and overrides that would have no effect; what a launch file finds wrong before its first node."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus

from edgevl_core.base.errors import UserError
from edgevl_ros.launch_checks import check_arguments, check_launch
from edgevl_ros.node.overrides import doubts, is_meant, parameter_files, read_sections
from tests.paths import ROOT
from tests.ros import harness
from tests.ros.test_nodes import NODES

DECLARED = ("log_scale", "max_total_mb", "rgb_topic", "qos_reliability", "qos_depth")
TOPICS = ("/camera/rgb/image_raw",)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def found(tmp_path: Path, text: str, *overrides: str, node: str = "/pair_logger", name: str = "p.yaml") -> list[str]:
    path = written(tmp_path / name, text)
    return doubts(node, overrides, DECLARED, TOPICS, {path: read_sections(path)})


@pytest.mark.unit
@pytest.mark.parametrize("section", ["/**/pair_logger", "pair_logger", "/pair_logger", "/**"])
def test_a_misspelt_name_is_told_with_the_nearest_one(tmp_path, section):
    [said] = found(tmp_path, f"{section}: {{ros__parameters: {{log_scal: 0.5}}}}", "log_scal")
    assert said == "parameter log_scal is unknown to pair_logger and has no effect: the nearest name is log_scale"


@pytest.mark.unit
def test_any_unknown_name_of_a_node_of_its_own_is_told(tmp_path):
    assert len(found(tmp_path, "pair_logger: {ros__parameters: {zzz: 1, a: {b: 2}}}", "zzz", "a.b")) == 2
    assert len(doubts("/pair_logger", ["zzz"], DECLARED, TOPICS, {})) == 1  # -p zzz:=1
    # launch_ros writes such a file for the dictionary of one node.
    text = "/**: {ros__parameters: {privacy: 1}}"
    assert len(found(tmp_path, text, "privacy", name="launch_params_x1")) == 1


@pytest.mark.unit
def test_what_is_for_others_or_for_rclpy_is_not(tmp_path):
    text = "/**: {ros__parameters: {use_sim_time: true, robot_radius: 0.2, qos_overrides: {/clock: {depth: 1}}}}"
    assert not found(tmp_path, text, "use_sim_time", "robot_radius", "qos_overrides./clock.depth")
    assert not found(tmp_path, "amcl: {ros__parameters: {x: 1}}")
    assert not found(tmp_path, "/**/pair_logger: {ros__parameters: {log_scale: 0.5}}", "log_scale")
    both = "/r1/pair_logger: {ros__parameters: {log_scale: 1.0}}\n/r2/pair_logger: {ros__parameters: {log_scale: 0.5}}"
    assert not found(tmp_path, both, "log_scale", node="/r2/pair_logger")


QOS = "qos_overrides./camera/rgb/image_raw.subscription"


@pytest.mark.unit
@pytest.mark.parametrize("section", ["/**/pair_logger", "/**", None])
def test_qos_overrides_of_its_own_topic_are_told_with_what_has_an_effect(tmp_path, section):
    text = f"{section}: {{ros__parameters: {{qos_overrides: {{/camera/rgb/image_raw: {{subscription: {{x: 1}}}}}}}}}}"
    overrides = [f"{QOS}.reliability", f"{QOS}.depth", f"{QOS}.x"]
    said = found(tmp_path, text, *overrides) if section else doubts("/pair_logger", overrides, DECLARED, TOPICS, {})
    told = "subscription.depth, subscription.reliability, subscription.x"
    effect = "has no effect on pair_logger: set qos_reliability and qos_depth"
    assert said == [f"qos_overrides of /camera/rgb/image_raw ({told}) {effect}"]


@pytest.mark.unit
def test_qos_overrides_of_other_topics(tmp_path):
    """In a section for all nodes they are for those that have the topic; in the node's own they are a mistake."""
    name = "qos_overrides./scan.subscription.depth"
    text = "{}: {{ros__parameters: {{qos_overrides: {{/scan: {{subscription: {{depth: 1}}}}}}}}}}"
    assert not found(tmp_path, text.format("/**"), name)
    assert len(found(tmp_path, text.format("/**/pair_logger"), name)) == 1
    [said] = doubts("/adaptation_manager", [name], ["bags"], [], {})
    assert said.endswith("has no effect on adaptation_manager: leave it out")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "node", "says"),
    [
        ("/**/pair_loger: {ros__parameters: {log_scale: 0.5}}", "/pair_logger", "section /**/pair_loger"),
        ("pair_logger: {ros__parameters: {log_scale: 0.5}}", "/r1/pair_logger", "nothing for /r1/pair_logger"),
        ("r1: {pair_logger: {ros__parameters: {log_scale: 0.5}}}", "/pair_logger", "section /r1/pair_logger"),
        ("", "/pair_logger", "holds no parameters"),
        ("# all of it is a comment", "/pair_logger", "holds no parameters"),
    ],
)
def test_a_section_that_misses_the_node_is_told(tmp_path, text, node, says):
    [said] = found(tmp_path, text, node=node)
    assert says in said


@pytest.mark.unit
@pytest.mark.parametrize(
    ("section", "node", "meant"),
    [
        ("/**", "/a/b", True),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/*/b", "/a/b", True),
        ("/**/b", "/b", True),
        ("/**/b", "/x/y/b", True),
        ("/**/b", "/x/bb", False),
        ("b", "/b", True),
        ("b", "/a/b", False),
    ],
)
def test_sections_by_rcls_rules(section, node, meant):
    assert is_meant(section, node) is meant


@pytest.mark.unit
def test_parameter_files_of_a_command_line():
    words = ["n", "--params-file", "no", "--ros-args", "--params-file", "a", "-p", "x:=1", "--params-file", "b"]
    words += ["--", "--params-file", "no", "--ros-args"]
    assert parameter_files([*words, "--params-file", "c"]) == [Path("a"), Path("b"), Path("c")]
    assert parameter_files(["n", "--ros-args", "--params-file"]) == []


@pytest.mark.unit
def test_shipped_parameter_files_raise_no_doubt():
    """config/robot.yaml is given to every node, bag_player too, which has no section in it."""
    for path in [ROOT / "config/robot.yaml", *(ROOT / "config/cameras").glob("*.yaml")]:
        sections = read_sections(path)
        for name in NODES:
            assert not doubts(f"/r1/{name}", [], ["bag"], [], {path: sections})


@pytest.mark.unit
@pytest.mark.parametrize("content", [None, "a: [", b"\xff\xfe"], ids=["missing", "no YAML", "no text"])
def test_a_node_without_its_parameter_file_does_not_start(tmp_path, content):
    file = tmp_path / "robot.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    command = [sys.executable, "-m", "edgevl_ros.nodes.pair_logger", "--ros-args", "--params-file", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    [line] = (done.stdout + done.stderr).strip().splitlines()
    assert str(file) in line
    assert not [path for path in tmp_path.iterdir() if path != file]


@pytest.mark.ros
@pytest.mark.parametrize("name", NODES)
def test_unknown_parameters_are_in_the_log_and_the_diagnostics(graph, tmp_path, name):
    file = written(tmp_path / "p.yaml", f"/**/{name}: {{ros__parameters: {{log_scal: 0.5, qos_dept: 1}}}}")
    stats = graph.watch(DiagnosticStatus, f"{name}/{'status' if name == 'bag_player' else 'stats'}")
    qos = {f"qos_overrides./{harness.RGB_TOPIC}.subscription.reliability": "reliable"}
    node = graph.start(name, "--params-file", str(file), autostart=False, max_total_gb=1.0, use_sim_time=False, **qos)
    graph.until(stats, "a report")
    no_effect = f"qos_overrides of /{harness.RGB_TOPIC} (subscription.reliability) has no effect on {name}"
    assert no_effect in stats().message
    assert any(line.startswith("[WARN]") and no_effect in line for line in node.output().splitlines())
    assert stats().level == DiagnosticStatus.WARN
    for wrong in ("log_scal", "qos_dept", "max_total_gb"):
        assert f"parameter {wrong} is unknown to {name}" in stats().message
        [line] = [line for line in node.output().splitlines() if f"parameter {wrong} is" in line]
        assert line.startswith("[WARN]")
    assert "use_sim_time" not in stats().message + node.output()


@pytest.mark.ros
@pytest.mark.parametrize(
    ("name", "parameter", "topic"),
    [
        ("pair_logger", "rgb_topic", "/a b"),
        ("pair_logger", "camera_info_topic", "a//b"),
        ("scene_classifier", "depth_topic", "{x}"),
        ("scene_classifier", "depth_camera_info_topic", "/a b"),
        ("label_overlay", "scene_topic", "a//b"),
        ("adaptation_manager", "logger_status", "{x}"),
        ("adaptation_manager", "classifier_service", "/a b"),
        ("scene_classifier", "rgb_topic", ""),
    ],
)
def test_what_can_be_no_topic_is_one_line(graph, tmp_path, name, parameter, topic):
    given = {"directory": str(tmp_path / "logs"), "min_free_mb": 0.0} if name == "pair_logger" else {}
    node = graph.start(name, **given, **{parameter: topic})
    assert node.wait() == 2
    [line] = [line for line in node.output().splitlines() if "ERROR" in line]
    assert f"parameter {parameter} = {topic!r}: " in line
    assert "accepted: letters, digits and '_'" in line
    assert "Traceback" not in node.output()
    assert not list((tmp_path / "logs").glob("*"))


def rviz_prefix(path: Path, *, registered: bool, program: bool) -> str:
    """A folder as colcon or apt install packages into, with as much of rviz2 as is asked for."""
    if registered:
        marker = path / "share/ament_index/resource_index/packages/rviz2"
        marker.parent.mkdir(parents=True)
        marker.touch()
    if program:
        (path / "lib/rviz2").mkdir(parents=True)
        (path / "lib/rviz2/rviz2").touch(mode=0o755)
    return str(path)


@pytest.mark.unit
@pytest.mark.parametrize(("registered", "program"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("text", ["true", "True", "1"])
def test_rviz_is_looked_for_before_a_node_starts(tmp_path, monkeypatch, registered, program, text):
    monkeypatch.setenv("AMENT_PREFIX_PATH", rviz_prefix(tmp_path, registered=registered, program=program))
    robot = str(ROOT / "config/robot.yaml")
    if program:
        check_launch(robot, text)
    else:
        with pytest.raises(UserError, match="rviz2 is not installed"):
            check_launch(robot, text)
    check_launch(robot, "false")


@pytest.mark.unit
def test_no_rviz_without_a_sourced_ros(monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(UserError, match="rviz2 is not installed"):
        check_launch(str(ROOT / "config/robot.yaml"), "true")


@pytest.mark.unit
@pytest.mark.parametrize("content", [None, "", "nothing: here"])
def test_a_launch_without_parameters_is_refused(tmp_path, content):
    """launch_ros would pass over a file that is missing, and the nodes would run on their defaults."""
    file = tmp_path / "robot.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=r"robot\.yaml (cannot be read|holds no parameters)"):
        check_launch(str(file), "false")


@pytest.mark.unit
def test_a_list_is_read_as_launch_ros_writes_it(tmp_path):
    """As a Python tuple, where the launch file set it."""
    file = tmp_path / "launch_params"
    file.write_text(yaml.dump({"/a": {"ros__parameters": {"labels": ("kitchen", "hall")}}}))
    assert "!!python/tuple" in file.read_text()
    assert read_sections(file) == {"/a": frozenset({"labels"})}


@pytest.mark.unit
def test_a_launch_argument_that_nothing_declares_is_refused_with_the_names_that_there_are():
    words = ["/opt/ros/bin/ros2", "launch", "edgevl", "classify.launch.py", "bundle:=/data/b", "lables:=home"]
    with pytest.raises(UserError) as error:
        check_arguments(words, "/share/edgevl/launch/classify.launch.py", ["bundle", "labels", "map"])
    assert str(error.value) == (
        "lables:=home: classify.launch.py has no argument lables: the nearest name is labels; "
        "accepted: bundle, labels, map"
    )
    check_arguments(words[:-1], "/share/edgevl/launch/classify.launch.py", ["bundle", "labels", "map"])


@pytest.mark.unit
@pytest.mark.parametrize(
    "words", [["ros2", "launch", "mine", "all.launch.py", "speed:=1", "file:=/a/log.launch.py"], ["pytest"]]
)
def test_arguments_of_a_launch_file_that_includes_ours_are_its_own(words):
    check_arguments(words, "/share/edgevl/launch/log.launch.py", ["bundle"])


@pytest.mark.ros
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"use_sim_time": "maybe"}, "use_sim_time"),
        ({"rgb_topic": "scene_classifier/scene"}, "cannot be subscribed to as Image: it has another type here"),
    ],
)
def test_what_rclpy_refuses_is_one_line(graph, given, told):
    node = graph.start("scene_classifier", **given)
    assert node.wait() == 2
    [line] = [line for line in node.output().splitlines() if told in line]
    assert "ERROR" in line
    assert "Traceback" not in node.output()
