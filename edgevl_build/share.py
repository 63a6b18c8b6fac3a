"""The files beside the Python code: share/edgevl, the ament index entry, and lib/edgevl for ``ros2 run``.

``python -m edgevl_build.share`` links them into the running environment: an editable install lacks them.
"""

import sys
from configparser import ConfigParser
from pathlib import Path

FOLDERS = ("launch", "config", "rviz", "foxglove", "quick", "msg", "srv")

# `ros2 run` and `ros2 launch` look for programs in lib/edgevl only, pip puts them into bin.
SHIM = '#!/bin/sh\nexec "$(dirname "$0")/../../bin/$(basename "$0")" "$@"\n'


def console_scripts(root: Path) -> list[str]:
    """The entry points of scripts.cfg, "name = module:function": one list for pip and for colcon."""
    config = ConfigParser(delimiters=("=",))
    config.read(root / "scripts.cfg", encoding="utf-8")
    return [line for line in config["options.entry_points"]["console_scripts"].splitlines() if line]


def node_names(root: Path) -> list[str]:
    """The console scripts that are ROS nodes."""
    return [script.split("=")[0].strip() for script in console_scripts(root) if "edgevl_ros." in script]


def data_files(root: Path, work_dir: Path) -> list[tuple[str, list[str]]]:
    """setup()'s data_files: (folder below the prefix, [file, ...]), files relative to ``root``.

    The ament index entry and the shims are written into ``work_dir``, which is below ``root``.
    """
    files = [root / "package.xml"]
    for folder in FOLDERS:
        files += [path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    by_folder: dict[str, list[str]] = {}
    for path in sorted(files):
        relative = path.relative_to(root)
        by_folder.setdefault(str("share/edgevl" / relative.parent), []).append(str(relative))

    marker = work_dir / "share/edgevl"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    by_folder["share/ament_index/resource_index/packages"] = [str(marker.relative_to(root))]

    shims = [work_dir / "shims" / name for name in node_names(root)]
    for shim in shims:
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(SHIM)
        shim.chmod(0o755)
    by_folder["lib/edgevl"] = [str(shim.relative_to(root)) for shim in shims]
    return list(by_folder.items())


def link(root: Path, work_dir: Path, prefix: Path) -> None:
    """Make ``prefix`` look as if the data files were installed: one symbolic link each, dead ones removed.

    Not one link per folder: a later ``pip install .`` or ``pip uninstall`` would write and delete through it.
    """
    for folder in ("share/edgevl", "lib/edgevl"):
        for path in (prefix / folder).rglob("*"):
            if path.is_symlink() and not path.exists():
                path.unlink()
    for folder, files in data_files(root, work_dir):
        (prefix / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            target = prefix / folder / Path(file).name
            target.unlink(missing_ok=True)
            target.symlink_to(root / file)


if __name__ == "__main__":
    from edgevl_build.messages import work_dir

    here = Path(__file__).resolve().parent.parent
    link(here, work_dir(here), Path(sys.prefix))
