"""YAML of unknown origin: a few hundred bytes cost neither minutes nor a traceback, in any file that is read."""

from pathlib import Path

import pytest
import yaml

from edgevl_core.base.errors import UserError
from edgevl_core.base.yaml_text import load_yaml
from edgevl_core.bundle.labels import load_labels
from edgevl_core.room_map.occupancy import read_map
from tests.core.pairlog.test_hostile_metadata import bomb, merge_bomb

pytestmark = pytest.mark.unit

HOSTILE = {
    "aliases": (bomb(), "aliases"),
    "merge keys": (merge_bomb(), "aliases"),
    "itself": ("labels: &x [*x]", "aliases"),
    "brackets": ("image: " + "[" * 3000, "brackets"),
    "lists": ("- " * 3000, "inside each other"),
    "no such date": ("image: 9999-99-99", "ValueError"),
    "no number": ("image: !!int ''", "IndexError"),
}


@pytest.mark.parametrize(("text", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_unfolds_or_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError, match=said):
        load_yaml(text)
    file = tmp_path / "file.yaml"
    file.write_text(text)
    for read in (load_labels, read_map):
        with pytest.raises(UserError, match=said):
            read(file)


def test_anchors_and_merge_keys_of_people_are_taken() -> None:
    text = "base: &base {epochs: 3, lr: 0.1}\nstage1: {<<: *base, lr: 0.2}\nstage2: *base"
    assert load_yaml(text) == {
        "base": {"epochs": 3, "lr": 0.1},
        "stage1": {"epochs": 3, "lr": 0.2},
        "stage2": {"epochs": 3, "lr": 0.1},
    }


def test_a_map_whose_resolution_is_no_float(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(f"image: a.pgm\nresolution: 1{'0' * 400}\norigin: [0, 0, 0]")
    with pytest.raises(UserError, match="OverflowError"):
        read_map(tmp_path / "map.yaml")
