"""What the documents say about files of this project is so."""

import re
import subprocess

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.unit
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_source_file_that_a_document_names_is_there(document) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    there = "\n".join(f"/{file}" for file in files if (ROOT / file).exists()) + "\n"
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml|cmake))`", document.read_text(encoding="utf-8"))
    missing = [name for name in named if f"/{name}\n" not in there]
    assert not missing


def test_the_way_of_the_data_is_described() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert len(re.findall(r"`(?:\w+/)+\w+\.py`", text)) > 40
