"""The robot's half on another processor: a bundle made on x86 answers on emulated aarch64, and what it answers there.

python benchmarks/aarch64.py [--bundle DIR] [--onnxruntime 1.23.2] [--work DIR]

Nothing is installed on this machine: qemu-user-static, Debian's Python for arm64 and the aarch64 wheels of the locked
libraries are downloaded (apt-get, pip; 200 MB) and unpacked below --work, and stay there for the next time. Then, under
qemu: the core is imported, the bundle is loaded and tests itself, both students are compared with their golden
embeddings, and `edgevl demo --quick` runs whole. Needs a Debian or Ubuntu; five minutes on two cores. Emulation proves
results and not speed. ONNX Runtime 1.31 and 1.32 crash under qemu when they are imported, hence another version than
the lock's; whether that is the emulation is not known.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgevl_core.base.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
MACHINE, DEBIAN = "aarch64", "arm64"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
LIBRARIES = ("python3", "libstdc++6")
LEAST_COSINE = 0.99

CHECK = """
import platform, sys
import numpy as np
import onnxruntime
from edgevl_core.bundle.golden import read_golden
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.engine import Engine
from edgevl_core.bundle.files import GOLDEN_FILE, STUDENT_FP32, STUDENT_INT8
print(f"{platform.machine()}, Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}")
bundle = load_bundle(sys.argv[1], fall_back=True)
print(f"bundle {bundle.manifest.bundle_id} is loaded{': ' + bundle.fallback if bundle.fallback else ''}")
golden = read_golden(bundle.path / GOLDEN_FILE)
worst = 1.0
for name in (STUDENT_INT8, STUDENT_FP32):
    found = Engine(bundle.path / name)(golden.pixels)
    cosine = (found * golden.embeddings[name.removesuffix(".onnx")]).sum(axis=1)
    worst = min(worst, float(cosine.min()))
    print(f"{name}: cosine to its golden embeddings {cosine.mean():.6f}, least {cosine.min():.6f}")
sys.exit(worst < float(sys.argv[2]))
"""


def run(*command: str | Path, **environment: str) -> None:
    """Run a program; what it says goes where this script's goes."""
    subprocess.run([str(word) for word in command], check=True, env={**os.environ, **environment})


def apt_options(state: Path) -> list[str]:
    """apt-get with lists, cache and architecture of its own, and the machine's sources."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": DEBIAN,
        "APT::Architectures": DEBIAN,
        "Dir::State": state / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": state / "cache",
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def unpacked(packages: Path, into: Path) -> None:
    """Unpack every Debian package of a folder."""
    for package in sorted(packages.glob("*.deb")):
        run("dpkg-deb", "-x", package, into)


def emulator(work: Path) -> Path:
    """qemu for programs of the other processor, from this machine's own Debian packages."""
    found = shutil.which(f"qemu-{MACHINE}-static")
    if found:
        return Path(found)
    qemu = work / f"qemu/usr/bin/qemu-{MACHINE}-static"
    if not qemu.is_file():
        packages = work / "qemu-packages"
        packages.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "qemu-user-static"], cwd=packages, check=True)
        unpacked(packages, work / "qemu")
    return qemu


def other_python(work: Path) -> Path:
    """The folder in which Debian's Python for the other processor lies, as below a root."""
    root = work / "root"
    if not root.is_dir():
        options = apt_options(work / "apt")
        run("apt-get", "-qq", *options, "update")
        install = ("install", "--download-only", "--no-install-recommends", "--yes", *LIBRARIES)
        run("apt-get", "-qq", *options, *install)
        unpacked(work / "apt/cache/archives", work / "root.partial")
        (work / "root.partial").rename(root)
    return root


def version_of(root: Path) -> str:
    """Of the Python in it, such as 3.11."""
    (program,) = (path for path in (root / "usr/bin").glob("python3.*") if path.name[8:].isdigit())
    return program.name.removeprefix("python")


def wheels(work: Path, python: str, onnxruntime: str) -> Path:
    """The folder with the robot's libraries for the other processor, in the locked versions but for ONNX Runtime."""
    folder = work / f"libraries-{python}-onnxruntime-{onnxruntime}"
    if not folder.is_dir():
        locked = (ROOT / "locks/python.txt").read_text(encoding="utf-8").splitlines()
        constraints = work / "constraints.txt"
        chosen = [line for line in locked if not line.startswith("onnxruntime==")]
        constraints.write_text("\n".join([*chosen, f"onnxruntime=={onnxruntime}", ""]), encoding="utf-8")
        named = (ROOT / "locks/robot.in").read_text(encoding="utf-8").splitlines()
        # numpy below 2 is for apt's cv_bridge, which is not here.
        names = [line.replace(",<2", "") for line in named if line and not line.startswith("#")]
        platforms = [word for each in PLATFORMS for word in ("--platform", each)]
        install = (sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:")
        asked = ("--python-version", python, "--implementation", "cp", "--constraint", constraints)
        run(*install, *platforms, *asked, "--target", f"{folder}.partial", *names)
        Path(f"{folder}.partial").rename(folder)
    return folder


def main() -> int:
    """Exit code 1 where an embedding is further from its golden one than a bundle's self-test allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=ROOT / "quick/bundle")
    parser.add_argument("--onnxruntime", default="1.23.2")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/aarch64")
    arguments = parser.parse_args()
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise UserError(f"{tool} is not here: this check needs a Debian or Ubuntu")
    work = arguments.work.resolve()
    qemu, root = emulator(work), other_python(work)
    version = version_of(root)
    libraries = wheels(work, version, arguments.onnxruntime)
    python = [qemu, "-L", root, root / f"usr/bin/python{version}"]
    # -E and -I would hide PYTHONPATH; the user's own packages are of this processor.
    environment = {
        "PYTHONPATH": f"{libraries}{os.pathsep}{ROOT}",
        "PYTHONNOUSERSITE": "1",
        "PYTHONHOME": str(root / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_LIBRARY_PATH": "",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    run(*python, "-c", CHECK, arguments.bundle.resolve(), str(LEAST_COSINE), **environment)
    out = work / "demo_quick"
    shutil.rmtree(out, ignore_errors=True)
    run(*python, "-m", "edgevl_cli.main", "demo", "--quick", "--out", out, **environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
