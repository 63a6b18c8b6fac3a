"""``python -m edgevl_build.extras [EXTRA ...]``: source archive, wheel, and each extra at work in a clean environment.

The source archive is made of a copy of this tree, the wheel of the archive. Then for the robot's set and for each extra
of pyproject.toml (or those named): a new virtual environment, the wheel with that extra, every library of the extra
imported, and a try of what it is for. The environments lie in a temporary folder and are removed one after the other;
the largest, train, takes some gigabytes where pip finds no CPU build of torch. `make extras` calls this.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "install", "log", "dist", "runs", "demo_*", "*.egg-info", "__pycache__"
)
ROBOT = "robot"  # no extra

# Imports what the metadata of the installed edgevl names for an extra ("": always), and says how much is installed.
IMPORTS = """
import importlib, importlib.metadata as metadata, re, sys
def canonical(name): return re.sub(r"[-_.]+", "-", name).lower()
extra, tops = sys.argv[1], metadata.packages_distributions()
for text in metadata.requires("edgevl"):
    marker = re.search(r"extra == ['\\"]([\\w-]+)['\\"]", text)
    if (marker.group(1) if marker else "") == extra:
        name = canonical(re.match(r"[\\w.-]+", text).group())
        for module, owners in tops.items():
            if name in map(canonical, owners) and module.isidentifier() and not module.startswith("_"):
                importlib.import_module(module)
names = {canonical(each.metadata["Name"]) for each in metadata.distributions()}
print(len(names), "torch" in names)
"""
QUICK = "from edgevl_cli.main import main; import sys; sys.argv = ['edgevl', 'demo', '--quick']; main()"
# What an extra is for, tried: a program of its own. Of the others the import of their libraries is the try.
TRIES = {
    ROBOT: QUICK,
    "train": "import edgevl_train.adapt, edgevl_train.pretrain.run, edgevl_train.report.page",
    "openvino": """
from edgevl_core.base.resources import resource
from edgevl_core.bundle.student_bundle import load_bundle
print(load_bundle(resource("quick/bundle"), engine="openvino").engine.path)
""",
    "dev": "import pytest; raise SystemExit(pytest.main(['--version']))",
}


def run(*command: str | Path, cwd: Path) -> str:
    """What a program prints; its whole output where it fails. Nothing of this environment is inherited.

    Raises:
        SystemExit: it failed.
    """
    inherited = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "PYTHONPATH", "AMENT_PREFIX_PATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in inherited}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words[:4])} ... failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path) -> Path:
    """A new virtual environment's Python; what the system has installed is not seen."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin/python"


def built(work: Path) -> Path:
    """The wheel, from the source archive."""
    source, out = work / "source", work / "dist"
    shutil.copytree(ROOT, source, ignore=NOT_COPIED)
    python = environment(work / "builder")
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    run(python, "-m", "pip", "install", "--quiet", *requires, cwd=work)
    out.mkdir()
    run(python, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})", cwd=source)
    (archive,) = out.glob("*.tar.gz")
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, archive, cwd=work)
    (wheel,) = out.glob("*.whl")
    print(f"{archive.name} {archive.stat().st_size / 1e6:.1f} MB, {wheel.name} {wheel.stat().st_size / 1e6:.1f} MB")
    shutil.rmtree(source)
    shutil.rmtree(work / "builder")
    return wheel


def tried(work: Path, wheel: Path, extra: str) -> None:
    """Install, import, try, tell in one line, remove."""
    began = time.monotonic()
    folder = work / f"venv-{extra}"
    python = environment(folder)
    name = str(wheel) if extra == ROBOT else f"{wheel}[{extra}]"
    run(python, "-m", "pip", "install", "--quiet", name, cwd=work)
    place = work / f"tried-{extra}"  # outside the source tree, so that the installed package runs
    place.mkdir()
    count, torch = run(python, "-c", IMPORTS, "" if extra == ROBOT else extra, cwd=place).split()
    if extra in TRIES:
        run(python, "-c", TRIES[extra], cwd=place)
    if extra == ROBOT:
        assert torch == "False", "the robot's set has pulled torch"
        run(folder / "bin/edgevl", "--help", cwd=place)
    megabytes = sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6
    seconds = time.monotonic() - began
    with_torch = "with torch" if torch == "True" else "no torch"
    print(f"{extra:14} {count:>4} libraries, {megabytes:6.0f} MB, {with_torch:10}, {seconds:4.0f} s", flush=True)
    shutil.rmtree(folder)


def main(chosen: list[str]) -> None:
    """Raises SystemExit at the first thing that does not work."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = [ROBOT, *project["optional-dependencies"]]
    if unknown := set(chosen) - set(known):
        sys.exit(f"extras: {', '.join(sorted(unknown))}: accepted are {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        wheel = built(Path(folder))
        for extra in chosen or known:
            tried(Path(folder), wheel, extra)


if __name__ == "__main__":
    main(sys.argv[1:])
