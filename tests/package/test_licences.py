"""The licence of everything that the locks name is in docs/licences.md, and of nothing else."""

from email.message import Message
from importlib.metadata import distribution
from pathlib import Path

import pytest

from edgevl_build import licences

pytestmark = pytest.mark.unit


def test_everything_locked_has_its_licence_and_nothing_else() -> None:
    listed = licences.listed()
    assert sorted(listed) == sorted(licences.needed()), "python -m edgevl_build.licences, see CONTRIBUTING.md"
    assert all(words.strip() for words in listed.values())


def test_what_is_installed_here_says_what_is_listed() -> None:
    listed = licences.listed()
    for name in ("cryptography", "numpy", "mcap", "rosbags", "ros-rcutils"):
        assert licences.licence(distribution(name)) == listed[name]


def test_a_new_dependency_without_a_line_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "python.txt").write_text("# head\nnumpy==2.0\nbrand-new==1.0\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["Py_YAML>=1"]\noptional-dependencies.x = ["other.new[a]>=2; os_name<\'x\'"]\n'
    )
    monkeypatch.setattr(licences, "ROOT", tmp_path)
    monkeypatch.setattr(licences, "DOCUMENT", tmp_path / "licences.md")
    (tmp_path / "licences.md").write_text("| gone | MIT |\n")
    with pytest.raises(SystemExit, match="no licence known: brand-new, other-new, py-yaml:"):
        licences.main()
    assert set(licences.listed(tmp_path / "licences.md")) == {"numpy"}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("License-Expression", "MIT"), ("Classifier", "License :: OSI Approved :: BSD License")], "MIT"),
        ([("Classifier", "License :: OSI Approved"), ("License", "BSD\n 3")], "BSD 3"),
        ([("Classifier", "License :: OSI Approved :: BSD License"), ("License", "x" * 5000)], "BSD License"),
        ([("License", "x" * 5000)], ""),
        ([], ""),
    ],
)
def test_the_licence_in_the_distributions_own_words(headers: list[tuple[str, str]], words: str) -> None:
    class Said:
        metadata = Message()

    Said.metadata = Message()
    for key, value in [("Name", "some_thing"), *headers]:
        Said.metadata[key] = value
    assert licences.licence(Said) == words  # type: ignore[arg-type]
