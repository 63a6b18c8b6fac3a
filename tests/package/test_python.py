"""The promised names of edgevl_core: what docs/python.md shows runs as it stands there, and so does the notebook."""

import ast
import re
from pathlib import Path

import cv2
import nbformat
import pytest
from nbclient import NotebookClient

import edgevl_core
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_sim import write_bag
from tests.core.tiny import colour_image
from tests.core.tiny_text import write_speaking_bundle
from tests.paths import ROOT

pytestmark = pytest.mark.unit
DOCUMENT = (ROOT / "docs/python.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "docs/notebooks/first_look.ipynb"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated home, one frame a room."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_bag(path, seed=0, split="test", homes=1, frames_per_room=1, hz=1.0)
    return path


def test_what_the_document_shows_runs(drive, tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    write_speaking_bundle(tmp_path / "run/bundle", ("kitchen", "bathroom", "hallway"))
    (tmp_path / "drive").symlink_to(drive)
    cv2.imwrite(str(tmp_path / "kitchen.jpg"), colour_image("red")[..., ::-1])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    pairs = list(read_pairs(drive))
    assert [frame[0].stamp_ns for frame in names["frames"]] == [pair.stamp_ns for pair in pairs]
    assert f"{len(pairs)} pairs" in said
    assert "5 labels" in said
    assert "no/such/bundle" in said
    assert cv2.imread("drive.png").shape[1] > 6 * pairs[0].rgb.shape[1]


def test_the_notebook_runs(tmp_path, monkeypatch):
    """With the ready-made student, where it is in the tree; any bundle will do."""
    ready = ROOT / "quick/bundle"
    names = ("kitchen", "bathroom", "hallway")
    bundle = ready if ready.is_dir() else write_speaking_bundle(tmp_path / "bundle", names)
    monkeypatch.setenv("EDGEVL_BUNDLE", str(bundle))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are pictures: keep them out"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "48 pairs" in said
    assert "in the dark, both rests on ['depth']" in said
    assert "the last frame is now:" in said


def test_every_example_is_short():
    assert len(BLOCKS) >= 7
    assert max(block.count("\n") for block in BLOCKS) <= 11


def test_the_document_names_what_is_promised():
    table = DOCUMENT.partition("| name | what it is |")[2].partition("\n\n")[0]
    promised = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(promised) == edgevl_core.__all__


def test_every_promised_name_is_there_and_says_what_it_is():
    assert edgevl_core.__all__ == sorted(edgevl_core.__all__)
    for name in edgevl_core.__all__:
        assert getattr(edgevl_core, name).__doc__, name
        assert name in dir(edgevl_core)
    with pytest.raises(AttributeError, match="no attribute 'clasify': promised are Bundle, "):
        edgevl_core.clasify  # noqa: B018


def test_type_checkers_are_told_of_the_same_names_in_the_same_modules():
    tree = ast.parse((ROOT / "edgevl_core/__init__.py").read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: each.module for each in checked.body for alias in each.names}
    assert told == {name: f"edgevl_core.{module}" for name, module in edgevl_core._MODULES.items()}
    assert sorted(told) == edgevl_core.__all__
