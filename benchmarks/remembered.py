"""Figures of long benchmarks, kept on disk one by one: a run that was cut off goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write


def remembered(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """The figures ``name``; read back where an earlier call has them."""
    file = folder / f"{name.replace('/', '_')}.json"
    if not file.exists():
        print(f"--- {name}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(file, json.dumps(make(), indent=1).encode())
    return json.loads(file.read_text())
