"""A whole bundle, and a copy of it to change."""

import shutil
from pathlib import Path

import pytest

from tests.core.tiny import (
    write_colour_bundle,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "bundle"
    write_colour_bundle(path)
    return path


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))
