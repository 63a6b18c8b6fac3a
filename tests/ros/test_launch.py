"""Launch files, parameters, rviz: what they name exists. Runs where ROS 2's launch is absent."""

import ast
import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgevl_core.base.errors import UserError
from edgevl_ros.adaptation.settings import AdaptationParameters
from edgevl_ros.classify.parameters import ClassifierParameters
from edgevl_ros.logger.parameters import LoggerParameters
from edgevl_ros.node.parameters import descriptor, from_text, table
from edgevl_ros.nodes import (
    adaptation_manager,
    bag_player,
    base_station,
    label_overlay,
    pair_logger,
    room_mapper,
    scene_classifier,
)
from edgevl_ros.nodes.bag_player import PlayerParameters
from edgevl_ros.nodes.base_station import BaseParameters
from edgevl_ros.nodes.label_overlay import OverlayParameters
from edgevl_ros.room_map.parameters import MapperParameters
from tests.paths import ROOT

pytestmark = pytest.mark.unit
PRESETS = sorted((ROOT / "config/cameras").glob("*.yaml"))
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
MODULES = (adaptation_manager, bag_player, base_station, label_overlay, pair_logger, room_mapper, scene_classifier)
PARAMETERS = {
    name: {parameter.name: parameter for parameter in table(kind)}
    for name, kind in (
        ("adaptation_manager", AdaptationParameters),
        ("bag_player", PlayerParameters),
        ("base_station", BaseParameters),
        ("label_overlay", OverlayParameters),
        ("pair_logger", LoggerParameters),
        ("room_mapper", MapperParameters),
        ("scene_classifier", ClassifierParameters),
    )
}


def constant(tree: ast.Module, name: str) -> Any:
    """What a module's constant holds: a tuple that may name other constants, or a mapping behind MappingProxyType."""
    (node,) = (each.value for each in tree.body if isinstance(each, ast.Assign) and each.targets[0].id == name)
    if isinstance(node, ast.Call):
        return ast.literal_eval(node.args[0])
    found = [
        constant(tree, each.value.id) if isinstance(each, ast.Starred) else (ast.literal_eval(each),)
        for each in node.elts
    ]
    return sum(found, ())


LAUNCHING = ast.parse((ROOT / "edgevl_ros/launching.py").read_text())
PARAMETER_OF = constant(LAUNCHING, "PARAMETER_OF")


def calls(tree: ast.AST, function: str) -> list[ast.Call]:
    """All calls of a function by its plain name."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in found if isinstance(node.func, ast.Name) and node.func.id == function]


def programs() -> dict[str, str]:
    """Console scripts of the package: name -> module:function."""
    parser = ConfigParser()
    parser.read(ROOT / "scripts.cfg")
    lines = parser["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): target.strip() for name, target in (line.split("=") for line in lines)}


def test_there_are_the_four_launch_files():
    names = [path.name for path in LAUNCH_FILES]
    assert names == ["classify.launch.py", "demo.launch.py", "log.launch.py", "robot.launch.py"]


def test_programs_of_the_nodes_can_be_imported():
    for name in PARAMETERS:
        module, function = programs()[name].split(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_name_what_exists(path):
    tree = ast.parse(path.read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["generate_launch_description"]
    assert ast.get_docstring(tree)

    declared = {}
    for call in calls(tree, "argument"):
        name, _, description = call.args
        declared[ast.literal_eval(name)] = ast.literal_eval(description)
    for call in calls(tree, "required"):
        declared[ast.literal_eval(call.args[0])] = ast.literal_eval(call.args[1])
    assert all(declared.values())
    nodes = calls(tree, "edgevl_node")
    assert nodes
    for call in nodes:
        executable = ast.literal_eval(call.args[0])
        assert executable in programs()
        from_arguments = {}
        if len(call.args) > 1:
            keys, kinds = call.args[1].keys, call.args[1].values
            from_arguments = {ast.literal_eval(key): kind.id for key, kind in zip(keys, kinds)}
        assert set(from_arguments) <= set(declared)
        from_arguments = {PARAMETER_OF.get(name, name): kind for name, kind in from_arguments.items()}
        fixed = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        known = PARAMETERS[executable]
        assert set(from_arguments) | set(fixed) <= set(known)
        for name, kind in from_arguments.items():
            default = known[name].default
            assert kind == type(default).__name__, name
        for name, value in fixed.items():
            assert type(value) is type(known[name].default), name
    for call in calls(tree, "share"):
        assert (ROOT / Path(*map(ast.literal_eval, call.args))).is_file()
    if calls(tree, "rviz"):
        assert "rviz" in declared
        assert calls(tree, "frame_argument")
    # What drives the graph by a bag needs no camera, everything else takes one.
    assert bool(calls(tree, "camera_argument")) == (path.name != "demo.launch.py")


def test_demo_passes_on_arguments_that_robot_declares():
    def declared(name: str) -> set[str]:
        tree = ast.parse((ROOT / "launch" / name).read_text())
        frame = {"frame"} if calls(tree, "frame_argument") else set()
        return {ast.literal_eval(call.args[0]) for call in calls(tree, "argument")} | frame

    tree = ast.parse((ROOT / "launch/demo.launch.py").read_text())
    passed = constant(tree, "PASSED_ON")
    common = {"namespace", "params_file", "use_sim_time", "respawn"}
    assert common <= set(passed)
    assert set(passed) - common <= declared("demo.launch.py") & declared("robot.launch.py")


def test_one_argument_means_one_thing_in_all_launch_files():
    kinds: dict[str, set[str]] = {}
    for path in LAUNCH_FILES:
        for call in calls(ast.parse(path.read_text()), "edgevl_node"):
            for given in call.args[1:]:
                for key, kind in zip(given.keys, given.values):
                    kinds.setdefault(ast.literal_eval(key), set()).add(kind.id)
    assert kinds["labels"] == {"str"}, "a labels file, as --labels of edgevl"
    assert kinds["words"] == {"tuple"}
    assert all(len(each) == 1 for each in kinds.values()), kinds


def test_who_names_a_cameras_topics_can_name_its_calibration_too():
    """Without camera_info nobody can cut depth to what RGB sees, then or later."""
    topics = {"rgb_topic", "depth_topic", "camera_info_topic", "depth_camera_info_topic"}
    for path in LAUNCH_FILES:
        for call in calls(ast.parse(path.read_text()), "edgevl_node"):
            given = {ast.literal_eval(key) for each in call.args[1:] for key in each.keys}
            taken = topics & set(PARAMETERS[ast.literal_eval(call.args[0])])
            assert not given & topics or topics & given == taken, (path.name, ast.literal_eval(call.args[0]))


def test_no_argument_is_one_of_nav2s_launch_files():
    """Who includes both would set both: nav2's map is a file."""
    nav2 = {"map", "slam", "autostart", "use_composition", "params"}
    for path in LAUNCH_FILES:
        declared = {ast.literal_eval(call.args[0]) for call in calls(ast.parse(path.read_text()), "argument")}
        assert not nav2 & declared


def test_each_camera_preset_has_its_frame_for_rviz():
    assert set(constant(LAUNCHING, "FRAME_OF")) == {path.stem for path in PRESETS}


def test_shared_launch_code_names_files_that_exist():
    named = [call for call in calls(LAUNCHING, "share") if all(isinstance(a, ast.Constant) for a in call.args)]
    assert len(named) == 4
    for call in named:
        assert (ROOT / Path(*map(ast.literal_eval, call.args))).exists()


def test_launch_descriptions_can_be_made_where_launch_is_present():
    pytest.importorskip("launch_ros", reason="ROS 2's launch is not installed here")
    for path in LAUNCH_FILES:
        spec = importlib.util.spec_from_file_location("launch_file", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.generate_launch_description().entities


@pytest.mark.parametrize("path", [ROOT / "config/robot.yaml", *PRESETS], ids=lambda path: path.stem)
def test_parameter_files_name_declared_parameters_within_their_ranges(path):
    content = yaml.safe_load(path.read_text())
    for node, sections in content.items():
        known = PARAMETERS[node.removeprefix("/**/")]
        assert list(sections) == ["ros__parameters"]
        for name, value in sections["ros__parameters"].items():
            parameter = known[name]
            value = tuple(value) if isinstance(value, list) else value
            assert type(value) is type(parameter.default), name
            assert not parameter.choices or value in parameter.choices
            assert parameter.low is None or parameter.low <= value <= parameter.high


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_every_topic_of_the_camera_for_all_nodes(path):
    content = yaml.safe_load(path.read_text())
    nodes = {node.removeprefix("/**/"): sections["ros__parameters"] for node, sections in content.items()}
    assert set(nodes) == {"pair_logger", "scene_classifier", "label_overlay", "room_mapper"}
    topics = {"rgb_topic", "depth_topic", "camera_info_topic", "depth_camera_info_topic"}
    assert all(nodes["pair_logger"][topic].startswith("/") for topic in topics)
    for node, values in nodes.items():
        camera = topics & set(PARAMETERS[node])
        assert {topic: values[topic] for topic in camera} == {t: nodes["pair_logger"][t] for t in camera}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("2024", str, "2024"),
        ("100", float, 100.0),
        ("1e-3", float, 0.001),
        ("false", bool, False),
        ("[/data/a, 7]", tuple, ("/data/a", "7")),
        ("/data/a", tuple, ("/data/a",)),
    ],
)
def test_a_launch_argument_becomes_its_parameter(text, kind, value):
    assert from_text("argument", text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"), [("much", float), ("true", float), ("1", bool), ("", tuple), ("{a: 1}", tuple), ("[", tuple)]
)
def test_a_launch_argument_of_another_type_is_refused_with_what_is_accepted(text, kind):
    with pytest.raises(UserError, match=r"^argument:=.*: accepted: "):
        from_text("argument", text, kind)


def test_there_are_presets_for_the_three_makers():
    assert [path.stem for path in PRESETS] == ["oakd", "orbbec", "realsense"]


def test_parameters_are_described_and_numbers_have_a_range():
    for known in PARAMETERS.values():
        for parameter in known.values():
            is_number = isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)
            assert is_number == (parameter.low is not None), parameter.name
            assert not is_number or parameter.low <= parameter.default <= parameter.high
            assert not parameter.choices or parameter.default in parameter.choices
            assert descriptor(parameter).description


def test_rviz_shows_the_overlay_in_the_cameras_frame():
    content = yaml.safe_load((ROOT / "rviz/edgevl.rviz").read_text())["Visualization Manager"]
    assert content["Global Options"]["Fixed Frame"] == "camera_optical_frame"
    topics = {display["Topic"]["Value"] for display in content["Displays"] if "Topic" in display}
    assert {"label_overlay/image", "label_overlay/marker"} <= topics


def test_fast_dds_profile_is_well_formed_and_large_enough():
    space = {"p": "http://www.eprosima.com"}
    profile = ElementTree.parse(ROOT / "config/fastdds.xml").getroot()
    kinds = {
        node.findtext("p:type", namespaces=space): node for node in profile.iterfind(".//p:transport_descriptor", space)
    }
    assert set(kinds) == {"SHM", "UDPv4"}
    assert kinds["SHM"].findtext("p:segment_size", namespaces=space) == str(16 << 20)
    assert kinds["SHM"].findtext("p:maxMessageSize", namespaces=space) == str(4 << 20)
    used = {node.text for node in profile.iterfind(".//p:userTransports/p:transport_id", space)}
    assert used == {node.findtext("p:transport_id", namespaces=space) for node in kinds.values()}


def test_nodes_import_no_torch():
    names = ", ".join(module.__name__ for module in MODULES)
    code = f"import sys, {names}; print([m for m in ('torch', 'timm', 'open_clip') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PARAMETERS)
def test_help_names_every_parameter(name):
    command = [sys.executable, "-m", f"edgevl_ros.nodes.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{name}: ")
    assert all(f"\n  {parameter} = " in done.stdout for parameter in PARAMETERS[name])
