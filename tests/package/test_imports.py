"""The layers: which package may import what. Every module is read, late imports included, nothing is run."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import NamedTuple

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.unit

ROS = {
    "rclpy",
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "visualization_msgs",
}
TRAINING = {
    "torch",
    "torchvision",
    "lightning_fabric",
    "open_clip",
    "ftfy",  # comes with open_clip, which cleans texts with it
    "timm",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "safetensors",
}
CORE = {"numpy", "cv2", "onnxruntime", "mcap", "rosbags", "pydantic", "yaml", "zstandard", "lz4", "cryptography"}
PROJECT = {"edgevl", "edgevl_core", "edgevl_ros", "edgevl_sim", "edgevl_train", "edgevl_cli"}


class Layer(NamedTuple):
    """What a package may import at a module's top, and what only in a function. stdlib, itself: always."""

    top: set[str]
    late: set[str]


LAYERS = {
    "edgevl_core": Layer(CORE, late={"tokenizers", "openvino", "PIL", "jinja2"}),
    "edgevl_sim": Layer({"numpy", "cv2", "edgevl_core"}, late=set()),
    "edgevl_ros": Layer(
        ROS | {"edgevl", "edgevl_core", "numpy", "pydantic", "yaml"}, late={"cv_bridge", "vision_msgs", "tf2_msgs"}
    ),
    # huggingface_hub comes with timm, which downloads with it; h5py and tifffile read NYU's and EuroSAT's files,
    # pyarrow LeRobot's.
    "edgevl_train": Layer(
        TRAINING | CORE | {"edgevl_core", "rich"},
        late={
            "matplotlib",
            "tokenizers",
            "huggingface_hub",
            "h5py",
            "tifffile",
            "pyarrow",
            "mlflow",
            "tensorboard",
            "wandb",
            "torch_pruning",
        },
    ),
    # Everything, but only when a command needs it: test_it_starts_light.
    "edgevl_cli": Layer(ROS | TRAINING | CORE | PROJECT | {"typer", "rich", "matplotlib"}, late=set()),
}


# Rooms: a sub-package, or a module at a package's root. Each with the rooms of its own package that it may import; what
# is not listed may import none. There is no circle in it, which a test of its own holds.
ROOMS: dict[str, dict[str, str]] = {
    "edgevl_core": {
        "__init__": "base bundle camera classify draw pairlog",
        "adaptation": "base pairlog",
        "bundle": "base camera engine",
        "camera": "base",
        "classify": "base bundle camera",
        "draw": "base",
        "engine": "base",
        "log_view": "base bundle camera page pairlog room_map",
        "offload": "base bundle classify engine pairlog",
        "page": "base",
        "pairing": "base",
        "pairlog": "base camera pairing",
        "room_map": "base bundle camera classify pairlog",
        "watch": "base",
    },
    "edgevl_ros": {
        "adaptation": "node",
        "classify": "node",
        "doctor": "node",
        "launch_checks": "node",
        "launching": "launch_checks node",
        "logger": "node",
        "nodes": "adaptation classify logger node room_map",
        "room_map": "node",
        "watch": "node",
    },
    "edgevl_train": {
        "ablation": "data evaluation merge new_student prepare progress quantise recipe run_directory stage_sections "
        "student training",
        "adapt": "data evaluation export_bundle loggers merge metrics_file prepare progress recipe restore "
        "run_directory training",
        "budget": "quantise recipe run_directory sections",
        "comparison": "ablation data prepare progress quantise recipe run_directory stage_sections training",
        "data": "recipe sections sharing teacher",
        "evaluation": "data metrics_file provenance recipe restore run_directory sharing teacher",
        "export_bundle": "data evaluation golden_inputs prepare provenance quantise recipe run_directory sections "
        "stage_sections student teacher",
        "first_bundle": "data evaluation quantise run_directory sections student teacher torchvision_ops",
        "golden_inputs": "",
        "loggers": "metrics_file",
        "merge": "data recipe restore run_directory sections student teacher training",
        "new_student": "pruning restore sections stage_sections student teacher",
        "objectives": "data recipe stage_sections student teacher",
        "plan": "data prepare recipe run_directory",
        "prepare": "budget data merge new_student progress provenance quantise recipe restore run_directory sharing "
        "student teacher training",
        "pretrain": "data datasets evaluation metrics_file objectives progress recipe run_directory sections sharing "
        "stage_sections student teacher torchvision_ops training",
        "provenance": "recipe run_directory",
        "pruning": "student",
        "quantise": "sections stage_sections student torchvision_ops",
        "recipe": "sections stage_sections",
        "report": "data evaluation export_bundle metrics_file sections",
        "restore": "quantise recipe run_directory sections student teacher",
        "run_directory": "data recipe sections sharing teacher",
        "sections": "student",
        "sharing": "",
        "split": "data evaluation quantise recipe restore sections stage_sections training",
        "stage_sections": "sections",
        "student": "torchvision_ops",
        "teacher": "quantise torchvision_ops",
        "training": "data metrics_file objectives quantise recipe sections sharing stage_sections student "
        "torchvision_ops",
    },
}


class Import(NamedTuple):
    line: int
    module: str
    late: bool

    @property
    def package(self) -> str:
        """The top-level one."""
        return self.module.split(".")[0]


def imports(node: ast.AST, late: bool = False) -> Iterator[Import]:
    """All imports below a node; importlib.import_module("name") counts as one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(child.lineno, alias.name, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            yield from (Import(child.lineno, f"{child.module}.{alias.name}", late) for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith(("import_module", "__import__")):
            for argument in child.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(child.lineno, str(argument.value), late)
        yield from imports(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def violations(package: str, source: str, name: str) -> list[str]:
    """The forbidden imports of one module, as "file:line package (where)"."""
    layer = LAYERS[package]
    found = []
    for found_import in imports(ast.parse(source)):
        line, imported, late = found_import.line, found_import.package, found_import.late
        if imported in sys.stdlib_module_names or imported == package or imported in layer.top:
            continue
        if not (late and imported in layer.late):
            found.append(f"{name}:{line} {imported} ({'in a function' if late else 'at the top'})")
    return found


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_imports_point_down(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules, f"{package} has no module"
    found = [line for path in modules for line in violations(package, path.read_text(), str(path.relative_to(ROOT)))]
    assert not found, "\n".join(found)


def room_violations(package: str, room: str, source: str, name: str) -> list[str]:
    """Imports of rooms of the same package that ROOMS does not allow, as "file:line room"."""
    allowed = {room, *ROOMS[package].get(room, "").split()}
    inside = [found for found in imports(ast.parse(source)) if found.package == package]
    others = [(found.line, found.module.split(".")[1]) for found in inside]
    return [f"{name}:{line} {other}" for line, other in others if other not in allowed]


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_import_the_rooms_they_may(package: str) -> None:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        found += room_violations(package, room, path.read_text(), str(path.relative_to(ROOT)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_import_in_no_circle(package: str) -> None:
    # Raises CycleError where there is one.
    graph = {room: below.split() for room, below in ROOMS[package].items()}
    order = list(TopologicalSorter(graph).static_order())
    rooms = {path.name.removesuffix(".py") for path in (ROOT / package).iterdir()}
    assert set(order) <= rooms


def test_one_file_knows_what_differs_between_releases_of_rclpy() -> None:
    differing = ("rclpy.impl", "rclpy.experimental", "rclpy.event_handler", "rclpy.qos_event")
    asking = {
        path.relative_to(ROOT).as_posix()
        for package in ("edgevl_ros", "edgevl_cli")
        for path in (ROOT / package).rglob("*.py")
        if any(found.module.startswith(differing) for found in imports(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert asking == {"edgevl_ros/node/releases.py"}


def test_a_forbidden_room_is_found() -> None:
    assert room_violations("edgevl_core", "base", "from edgevl_core.camera import depth", "x.py")
    assert room_violations("edgevl_train", "student", "def f():\n    import edgevl_train.adapt", "x.py")
    assert not room_violations("edgevl_core", "classify", "from edgevl_core.bundle.labels import Label", "x.py")


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("edgevl_core", "import torch"),
        ("edgevl_core", "def f():\n    from rclpy.node import Node"),
        ("edgevl_core", "import tokenizers"),
        ("edgevl_core", "import h5py"),
        ("edgevl_ros", "import importlib\nimportlib.import_module('torch.nn')"),
        ("edgevl_train", "from edgevl.msg import SceneTruth"),
        ("edgevl_sim", "def f():\n    import edgevl_train.student.network"),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str) -> None:
    assert violations(package, source, "x.py")


def test_every_package_has_a_layer() -> None:
    packages = {path.parent.name for path in ROOT.glob("edgevl_*/__init__.py")} - {"edgevl_build"}
    assert packages == set(LAYERS)


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("import edgevl_cli.main", ROS | TRAINING | CORE | {"matplotlib"}),
        ("import edgevl_core", ROS | TRAINING | CORE | {"matplotlib", "rich"}),
        ("from edgevl_core import *", ROS | TRAINING | {"matplotlib"}),
    ],
    ids=["command line", "core", "all promised names"],
)
def test_it_starts_light(program: str, heavy: set[str]) -> None:
    """What a module imports in turn is not in its own text: look at what is loaded."""
    program = f"import sys\n{program}\nprint([name for name in {sorted(heavy)} if name in sys.modules])"
    run = [sys.executable, "-c", program]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    assert result.stdout.strip() == "[]"
