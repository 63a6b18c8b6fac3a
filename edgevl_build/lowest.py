"""``python -m edgevl_build.lowest DIR``: the oldest libraries that pyproject.toml allows, at work.

Installs locks/lowest.txt (Python 3.11) into a new environment DIR, and runs the command line and tests of the core
there, without ROS 2.
To make the lock again: uv pip compile --resolution lowest-direct --only-binary :all: --python-version 3.11 on the
dependencies of pyproject.toml.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the tests themselves need.
TESTING = ("pytest", "pytest-timeout", "hypothesis", "onnx<1.17")
# The first needs torch; OpenCV 4.5 cannot write the GIF that the second wants refused.
NOT_HERE = (
    "--ignore=tests/core/bundle/test_text_encoder.py",
    "--deselect=tests/core/camera/test_hostile_pictures.py::test_only_jpeg_and_png_reach_a_decoder[.gif]",
)
TESTS = ("camera", "classify", "pairing", "pairlog", "bundle")


def main(directory: str) -> None:
    """Raises CalledProcessError at the first thing that does not work."""
    python = str(Path(directory, "bin/python"))
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    lock = str(ROOT / "locks/lowest.txt")
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*install, "--requirement", lock], check=True)
    subprocess.run([*install, "--constraint", lock, *TESTING], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    edgevl = [python, "-c", "from edgevl_cli.start import main; main()"]
    tests = [python, "-m", "pytest", "-q", "-m", "not slow and not faults", *NOT_HERE]
    tests += [f"tests/core/{name}" for name in TESTS]
    for command in ([*edgevl, "--help"], [*edgevl, "adapt", "--help"], [*edgevl, "doctor"], tests):
        subprocess.run(command, check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    main(sys.argv[1])
