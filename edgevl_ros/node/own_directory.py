"""A directory that one node alone may keep things in: two that write there would undo each other's work."""

import fcntl
import os
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_ros.node.lifecycle import ManagedNode


def hold_directory(node: ManagedNode[Any], directory: Path, parameter: str) -> None:
    """Keep others out of a directory until the node is cleaned up, or its process has ended in whatever way.

    Args:
        parameter: that names the directory.

    Raises:
        UserError: another process holds it, or it cannot be locked.
    """
    name = node.get_name()
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        node.until_cleanup.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"parameter {parameter} = '{directory}' is in use by another {name}: stop that one, or give each a "
            "directory of its own"
        ) from error
    except OSError as error:
        raise UserError(
            f"parameter {parameter} = '{directory}' cannot be locked ({error.strerror}): give a local directory"
        ) from error
