"""What pyproject.toml cannot say: messages compiled at install time, programs of scripts.cfg, share/edgevl.

For pip only; colcon reads package.xml and CMakeLists.txt.
"""

import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build backend does not have the project on its path

from edgevl_build import messages, share  # noqa: E402

WORK_DIR = messages.work_dir(ROOT)

if "sdist" in sys.argv:
    interfaces = {"packages": [], "package_dir": {}, "ext_modules": []}
else:
    interfaces = messages.setup_arguments(ROOT, editable="editable_wheel" in sys.argv)
if "bdist_wheel" in sys.argv:
    for left_over in WORK_DIR.glob("lib*"):  # or a module deleted since the last build would be installed
        shutil.rmtree(left_over)

PYTHON_PACKAGES = [f"edgevl_{part}{below}" for part in ("core", "ros", "train", "sim", "cli") for below in ("", ".*")]

setup(
    packages=find_packages(include=PYTHON_PACKAGES) + interfaces["packages"],
    package_dir=interfaces["package_dir"],
    ext_modules=interfaces["ext_modules"],
    data_files=share.data_files(ROOT, WORK_DIR),
    entry_points={"console_scripts": share.console_scripts(ROOT)},
    options={"build": {"build_base": str(WORK_DIR)}},
)
