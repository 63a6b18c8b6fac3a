"""Help under headings, in plain text: typer draws them with rich alone, whose import doubles the time of ``--help``."""

from collections.abc import Iterable
from typing import Any  # typer's own click in newer releases, click in older ones

from typer.core import TyperCommand, TyperGroup

ARGUMENTS, OPTIONS, COMMANDS = "Arguments", "Options", "Commands"
# Headings of options that several commands have.
NEEDED, PAIRS, LEARNING, RUN = "Needed", "Which pairs of the bags", "How it learns", "The run"


class GroupedCommand(TyperCommand):
    """A command whose options stand under their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Called for ``--help``."""
        rows = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                rows.append((_heading(parameter), record))
        _write(formatter, rows)


class GroupedCommands(TyperGroup):
    """Commands under their ``rich_help_panel``."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Called for ``--help``."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, command) for name, command in found if command is not None and not command.hidden]
        limit = formatter.width - 6 - max(len(name) for name, _ in shown)
        rows = [(_panel(command) or COMMANDS, (name, command.get_short_help_str(limit))) for name, command in shown]
        _write(formatter, rows)


def _heading(parameter: Any) -> str:
    return _panel(parameter) or (ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS)


def _panel(of: Any) -> str:
    panel = getattr(of, "rich_help_panel", None)
    return panel if isinstance(panel, str) else ""


def _write(formatter: Any, rows: Iterable[tuple[str, tuple[str, str]]]) -> None:
    """Each heading once, in the order in which they first come; what stands under none of ours, last."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, row in rows:
        sections.setdefault(heading, []).append(row)
    for heading in sorted(sections, key=lambda name: name == OPTIONS):
        with formatter.section(heading):
            formatter.write_dl(sections[heading])
