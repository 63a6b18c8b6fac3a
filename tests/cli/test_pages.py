"""``edgevl log view`` and ``edgevl report`` on the command line: where a page goes; what is refused in one line."""

from pathlib import Path

import pytest

from tests.cli.command import edgevl
from tests.core.bags import write_bag
from tests.page.reader import check_self_contained

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_page_of_a_drive_bears_its_name(tmp_path: Path) -> None:
    write_bag(tmp_path / "logs/monday", 12)
    result = edgevl("log", "view", "logs/monday")
    assert (result.returncode, result.stdout) == (0, "page: monday.html\n"), result.stderr
    check_self_contained(tmp_path / "monday.html")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("log", "view", "bag", "--out", "page.txt"), "a file name that ends in .html"),
        (("log", "view", "bag", "--out", "not/there.html"), "in a directory that is there"),
        (("log", "view", "nothing"), "nothing"),
        (("report", "bag", "--out", "page.html"), "goes with --compare"),
        (("report", "--compare", "bag"), "two runs or more are needed"),
        (("report", "--compare", "bag", "logs"), "pass the run directory of a finished `edgevl adapt`"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    pytest.importorskip("torch", reason="edgevl report belongs to the workstation") if "report" in arguments else None
    write_bag(tmp_path / "bag", 3)
    result = edgevl(*arguments)
    assert result.returncode == 2, result.stderr
    [line] = result.stderr.strip().splitlines()
    assert line.startswith("edgevl: ")
    assert said in line
