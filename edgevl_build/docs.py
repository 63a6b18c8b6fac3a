"""Gather the documentation site's pages: those in docs/, and the reference, which is written from the code.

``python -m edgevl_build.docs OUT`` (`make docs` calls it, then Sphinx). Links between documents are written for the
repository, where README.md lies above docs/; on the site all pages are side by side.
"""

import importlib
import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import edgevl_core
from edgevl_cli.main import app
from edgevl_core.watch.heard import NODES
from edgevl_ros.node.parameters import NodeParameters, Parameter, accepted, table
from edgevl_train.recipe import Recipe
from edgevl_train.sections import Section

ROOT = Path(__file__).resolve().parent.parent
HOME = "README.md"
ABOVE = (HOME, "SECURITY.md", "CONTRIBUTING.md")
# The site's contents; every page stands in one of them, or Sphinx refuses it.
CONTENTS = {
    "Begin": ("tutorial", "first_look"),
    "How to": (
        "use",
        "how_to",
        "python",
        "robots",
        "rooms",
        "fleets",
        "npu",
        "reports",
        "teachers",
        "backbones",
        "recipes",
        "paper",
    ),
    "Reference": ("nodes", "parameters", "messages", "cli", "recipe", "api", "formats"),
    "Explanation": (
        "method",
        "results",
        "performance",
        "robot_performance",
        "reliability",
        "SECURITY",
        "architecture",
        "CONTRIBUTING",
        "licences",
    ),
}
_LINK = re.compile(r"\]\((?:\.\./|docs/)?([A-Za-z_-]+\.(?:md|png))(#[\w-]+)?\)")


def main(command: list[str] | None = None) -> None:
    """Write all pages into a new folder."""
    (out,) = map(Path, sys.argv[1:] if command is None else command)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out)
    for name in ABOVE:
        shutil.copy(ROOT / name, out / name)
    for page in out.glob("*.md"):
        text = _LINK.sub(_beside, page.read_text(encoding="utf-8"))
        page.write_text(text.replace("```mermaid", "```text"), encoding="utf-8")  # GitHub draws it, Sphinx does not
    home = (out / HOME).rename(out / "index.md")
    with home.open("a", encoding="utf-8") as file:
        for heading, names in CONTENTS.items():
            file.write("\n".join(["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *names, "```", ""]))
    reference = {"cli": cli(), "parameters": parameters(), "messages": messages(), "recipe": recipe(), "api": api()}
    reference["first_look"] = notebook(out / "notebooks/first_look.ipynb")
    for name, lines in reference.items():
        (out / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _beside(link: re.Match[str]) -> str:
    name = "index.md" if link[1] == HOME else link[1]
    return f"]({name}{link[2] or ''})"


def cli() -> Iterator[str]:
    """Every command with its arguments and options, as ``--help`` has them."""
    yield "# Command line"
    yield ""
    yield "Written from the program. `edgevl COMMAND --help` says the same; exit code 2 is wrong input, in one line."
    whole = typer.main.get_command(app)
    yield from _commands(whole, "edgevl")


def _commands(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from _commands(each, f"{path} {name}")
        return
    yield from ("", f"## `{path}`", "", " ".join((command.help or "").split()), "")
    yield from ("| | | default |", "|---|---|---|")
    context = command.make_context(path, [], resilient_parsing=True)
    for each in command.params:
        if each.name == "help":
            continue
        shown = each.name.upper() if each.param_type_name == "argument" else ", ".join(each.opts)
        needed = "needed" if each.required else _cell(each.get_default(context, call=False))
        yield f"| `{shown}` | {_cell(getattr(each, 'help', None))} | {needed} |"


def parameters() -> Iterator[str]:
    """Every node's parameters."""
    yield "# Parameters of the nodes"
    yield ""
    yield "Written from the code; `NODE --help` says the same. Set them with `-p name:=value` or in a file."
    for node in NODES:
        yield from ("", f"## {node}", "", "| parameter | default | accepted | |", "|---|---|---|---|")
        for row in parameters_of(node):
            yield f"| `{row.name}` | {_cell(row.default)} | {_cell(accepted(row))} | {_cell(row.description)} |"


def parameters_of(node: str) -> tuple[Parameter, ...]:
    """The parameters of one of NODES."""
    module = importlib.import_module(f"edgevl_ros.nodes.{node}")
    kinds = [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, NodeParameters)]
    return table(max(kinds, key=lambda kind: len(kind.mro())))


def messages() -> Iterator[str]:
    """Messages and services with their comments."""
    yield "# Messages and services"
    for file in sorted([*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")]):
        yield from ("", f"## edgevl/{file.parent.name}/{file.stem}", "", "```")
        yield file.read_text(encoding="utf-8").strip()
        yield "```"


def recipe() -> Iterator[str]:
    """A recipe's sections and their fields."""
    yield "# Recipes"
    yield ""
    yield "What `edgevl adapt --recipe FILE --set section.field=value` takes; the files are in `config/train/`."
    alone = [name for name, field in Recipe.model_fields.items() if not _is_section(field.default)]
    yield from ("", "## The run", "", *_fields(Recipe, alone))
    for name, field in Recipe.model_fields.items():
        if _is_section(field.default):
            kind = type(field.default)
            about = re.sub(r":(?:func|class|mod):`~?([\w.]+)`", r"`\1`", inspect.getdoc(kind) or "")
            yield from ("", f"## {name}", "", about, "", *_fields(kind, list(kind.model_fields)))


def _fields(kind: type[Section], names: list[str]) -> Iterator[str]:
    yield from ("| field | default | |", "|---|---|---|")
    for name in names:
        field = kind.model_fields[name]
        yield f"| `{name}` | {_cell(field.default)} | {_cell(field.description)} |"


def api() -> Iterator[str]:
    """The promised names of edgevl_core, with their arguments and docstrings."""
    yield "# Python API"
    yield ""
    yield "Written from the code: the promised names of `edgevl_core`. Examples, the promise: [In Python](python.md)."
    for name in edgevl_core.__all__:
        yield from ("", f"## {name}", "", *_described(name, getattr(edgevl_core, name)))
        for member, value in vars(getattr(edgevl_core, name)).items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                yield from ("", f"### {name}.{member}", "", *_described(member, value))


def _described(name: str, value: Any) -> Iterator[str]:
    if callable(value) and not (inspect.isclass(value) and issubclass(value, Exception)):
        signature = inspect.signature(value)
        bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
        shown = str(signature.replace(parameters=bare, return_annotation=signature.empty))
        yield from ("```python", name + re.sub(r"<(?:function )?([\w.]+)(?: object)? at \w+>", r"\1", shown), "```", "")
    yield from ("```text", inspect.getdoc(value) or "", "```")


def notebook(file: Path) -> Iterator[str]:
    """A notebook as a page: its texts, and its cells as blocks of code."""
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        code = cell["cell_type"] == "code"
        text = _LINK.sub(_beside, "".join(cell["source"]))
        yield from ("```python" if code else "", text, "```" if code else "", "")


def _is_section(default: Any) -> bool:
    return isinstance(default, Section)


def _cell(value: Any) -> str:
    """A value in a table."""
    if value is None or value == "" or value == ():
        return ""
    if isinstance(value, str) and " " in value:
        return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")
    if isinstance(value, list | tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    main()
