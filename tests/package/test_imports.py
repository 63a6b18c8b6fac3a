"""The layers: which package may import what. Every module is read, late imports included, nothing is run."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]

ROS = {
    "rclpy",
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
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
    "onnxscript",
    "safetensors",
}
CORE = {"numpy", "cv2", "onnxruntime", "mcap", "rosbags", "pydantic", "yaml", "zstandard", "lz4"}
PROJECT = {"edgevl", "edgevl_core", "edgevl_ros", "edgevl_sim", "edgevl_train", "edgevl_cli"}


class Layer(NamedTuple):
    """What a package may import at a module's top, and what only in a function. stdlib, itself: always."""

    top: set[str]
    late: set[str]


LAYERS = {
    "edgevl_core": Layer(CORE, late={"tokenizers", "h5py", "tifffile", "openvino", "PIL"}),
    "edgevl_sim": Layer({"numpy", "cv2", "edgevl_core"}, late=set()),
    "edgevl_ros": Layer(
        ROS | {"edgevl", "edgevl_core", "numpy", "pydantic", "yaml"}, late={"cv_bridge", "nav_msgs", "vision_msgs"}
    ),
    # huggingface_hub comes with timm, which downloads with it.
    "edgevl_train": Layer(
        TRAINING | CORE | {"edgevl_core", "rich"}, late={"matplotlib", "tokenizers", "huggingface_hub"}
    ),
    # Everything, but only when a command needs it: test_the_command_line_starts_light.
    "edgevl_cli": Layer(ROS | TRAINING | CORE | PROJECT | {"typer", "rich", "matplotlib"}, late=set()),
}


class Import(NamedTuple):
    line: int
    package: str  # the top-level one
    late: bool


def imports(node: ast.AST, late: bool = False) -> Iterator[Import]:
    """All imports below a node; importlib.import_module("name") counts as one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(child.lineno, alias.name.split(".")[0], late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            yield Import(child.lineno, child.module.split(".")[0], late)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith(("import_module", "__import__")):
            for argument in child.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(child.lineno, str(argument.value).split(".")[0], late)
        yield from imports(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def violations(package: str, source: str, name: str) -> list[str]:
    """The forbidden imports of one module, as "file:line package (where)"."""
    layer = LAYERS[package]
    found = []
    for line, imported, late in imports(ast.parse(source)):
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


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("edgevl_core", "import torch"),
        ("edgevl_core", "def f():\n    from rclpy.node import Node"),
        ("edgevl_core", "import tokenizers"),
        ("edgevl_core", "import h5py"),
        ("edgevl_ros", "import importlib\nimportlib.import_module('torch.nn')"),
        ("edgevl_train", "from edgevl.msg import SceneTruth"),
        ("edgevl_sim", "def f():\n    import edgevl_train.student"),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str) -> None:
    assert violations(package, source, "x.py")


def test_every_package_has_a_layer() -> None:
    packages = {path.parent.name for path in ROOT.glob("edgevl_*/__init__.py")} - {"edgevl_build"}
    assert packages == set(LAYERS)


def test_the_command_line_starts_light() -> None:
    """What a module imports in turn is not in its own text: look at what is loaded."""
    heavy = sorted(ROS | TRAINING | CORE | {"matplotlib"})
    program = f"import sys, edgevl_cli.main; print([name for name in {heavy} if name in sys.modules])"
    run = [sys.executable, "-c", program]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
