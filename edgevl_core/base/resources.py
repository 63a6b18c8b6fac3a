"""Where the files of config/, quick/, rviz/, launch/ are: the source tree, or share/edgevl of an installed package."""

import os
import sys
from pathlib import Path

from edgevl_core.base.errors import UserError


def resource(relative: str) -> Path:
    """The path of a shipped file, e.g. ``resource("config/labels/home.yaml")``.

    Looked for in the source tree (an editable install), then in ``share/edgevl`` of this Python's prefix (pip), then
    of every prefix in AMENT_PREFIX_PATH (colcon).

    Raises:
        UserError: it is in none of them.
    """
    prefixes = [Path(sys.prefix), *map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":")))]
    roots = [Path(__file__).resolve().parents[2], *(prefix / "share/edgevl" for prefix in prefixes)]
    for root in roots:
        if (root / relative).exists():
            return root / relative
    looked = ", ".join(map(str, roots))
    raise UserError(f"{relative} is not installed (looked in {looked}): install edgevl again, or pass a path")
