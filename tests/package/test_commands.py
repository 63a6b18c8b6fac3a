"""Every command in the documents names what is there: subcommands, options, launch arguments, services, make targets.

That they also do what is said of them is the business of each one's own tests; this finds a word that has changed.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edgevl_build.docs import NODES, parameters_of
from edgevl_cli.main import app
from tests.paths import ROOT

pytestmark = pytest.mark.unit
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Of other projects: what they take is not ours to know.
FOREIGN = {
    "source",
    "export",
    "cd",
    "rosdep",
    "colcon",
    "pip",
    "git",
    ".",
    "rviz2",
    "python3",
    "openssl",
    "chmod",
    "apt",
    "touch",
    "cp",
    "tensorboard",
}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Document and words of each command in a block of shell, comments left out."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if language not in ("", "sh", "bash") or not any(
                f"{name} " in block for name in ("edgevl", "make", "ros2", "python", "pair_logger")
            ):
                continue  # a drawing or a listing
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|\|", re.sub(r"(^|\s)#.*", "", line)):
                    if words := shlex.split(part):
                        yield document.name, words


def check(words: list[str]) -> str:
    """What is wrong with a command; empty: nothing."""
    program, *rest = words
    if program == "torchrun":
        program, rest = "edgevl", rest[rest.index("edgevl_cli.main") + 1 :]
    if program == "edgevl":
        return _edgevl(typer.main.get_command(app), rest)
    if program == "ros2":
        return {"launch": _launch, "service": _service}[rest[0]](rest)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return "" if all("=" in word or word in targets for word in rest) else f"targets are {targets}"
    if program in NODES:
        known = {row.name for row in parameters_of(program)}
        return ", ".join(sorted({word.split(":=")[0] for word in rest if ":=" in word} - known))
    if program == "python" or program.endswith("/python"):
        return "" if rest[0].startswith("-") or (ROOT / rest[0]).is_file() else f"{rest[0]} is not there"
    return "" if program in FOREIGN or "=" in program else f"{program}: what is that?"


def _edgevl(command: Any, words: list[str]) -> str:
    while hasattr(command, "commands"):
        name, *words = words or [""]
        if name.startswith("-"):
            return ""
        if name not in command.commands:
            return f"no command {name!r}: there are {', '.join(command.commands)}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    return ", ".join(sorted(given - known - {"--help"}))


def _launch(words: list[str]) -> str:
    """``ros2 launch edgevl FILE name:=value ...``"""
    _, package, file, *arguments = words
    if package != "edgevl" or not (path := ROOT / "launch" / file).is_file():
        return f"{package} {file}: no such launch file"
    source = path.read_text(encoding="utf-8") + (ROOT / "edgevl_ros/launching.py").read_text(encoding="utf-8")
    declared = set(re.findall(r'(?:argument|required|DeclareLaunchArgument)\("(\w+)"', source))
    return ", ".join(sorted({each.split(":=")[0] for each in arguments if ":=" in each} - declared))


def _service(words: list[str]) -> str:
    """``ros2 service call NAME TYPE REQUEST``"""
    kind = words[3].split("/")
    if kind[0] == "std_srvs":
        return ""
    return "" if kind[0] == "edgevl" and (ROOT / "srv" / f"{kind[2]}.srv").is_file() else f"{words[3]}: no such service"


ALL = list(commands())


@pytest.mark.parametrize(("document", "words"), ALL, ids=[f"{name}: {' '.join(words)[:60]}" for name, words in ALL])
def test_a_command_names_what_is_there(document: str, words: list[str]) -> None:
    assert not check(words)


def test_what_is_not_there_is_found() -> None:
    assert len(ALL) > 60
    assert "--bundel" in check(["edgevl", "map", "BAG", "--bundel", "B"])
    assert "no command 'adopt'" in check(["edgevl", "adopt"])
    assert check(["ros2", "launch", "edgevl", "robot.launch.py", "bundel:=x"]) == "bundel"
    assert "no such" in check(["ros2", "service", "call", "/a", "edgevl/srv/FindRooms", "{}"])
    assert check(["pair_logger", "--ros-args", "-p", "rgb_topik:=x"]) == "rgb_topik"
    assert check(["make", "dems"]) != ""
    assert check(["python", "benchmarks/none.py"]) != ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_between_documents_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", document.read_text(encoding="utf-8")):
        generated = {"api.md", "cli.md", "parameters.md", "messages.md", "recipe.md"}  # of the site alone
        assert (document.parent / target).is_file() or target in generated, target
