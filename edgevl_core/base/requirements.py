"""The oldest libraries that edgevl runs with, and which are older here. Imports the standard library alone.

A robot's apt has libraries of its own, which pip's check of ``pyproject.toml`` never sees after ``colcon build``.
"""

import re
from collections.abc import Mapping
from importlib import metadata

from edgevl_core.base.findings import Finding

# As in pyproject.toml, by the name of the distribution; tests/package compares, edgevl_build.lowest runs them.
LOWEST: Mapping[str, str] = {
    "numpy": "1.23",
    "onnxruntime": "1.16",
    "mcap": "1.5",
    "rosbags": "0.10.9",
    "pydantic": "2.5",
    "PyYAML": "5.4",
    "tokenizers": "0.15",
    "typer": "0.16",
    "rich": "13",
    "jinja2": "3.0.3",
    "zstandard": "0.20",
    "cryptography": "3.4",
    "lz4": "4",
}
FIX = "docs/robots.md: a virtual environment with --system-site-packages, above apt's Python libraries"


def outdated(lowest: Mapping[str, str] = LOWEST) -> list[Finding]:
    """A finding for each distribution that is installed and older than ``lowest`` says; those that miss are no part."""
    found = []
    for name, least in lowest.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if _numbers(version) < _numbers(least):
            found.append(Finding(False, f"{name} {version}: at least {least} is needed", FIX))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """(1, 10, 14) of "1.10.14+dfsg": the release, as far as it is numbers, without zeros at its end."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
