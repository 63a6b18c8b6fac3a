"""Templates filled: ``base.html.j2`` here is the page, a room's own template its content."""

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.base.sizes import size

_BASE = Path(__file__).parent / "templates"


def write_page(path: Path, template: Path, content: dict[str, Any]) -> Path:
    """Fill a template that extends ``base.html.j2``, and write the page whole or not at all.

    Args:
        path: the new .html file, in a directory that is there.
        template: file of the content's template.
        content: what it is given; text is escaped, :class:`edgevl_core.page.html.Html` stays as it is.

    Returns:
        ``path``.

    Raises:
        UserError: jinja2 is not installed; the directory is missing.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise UserError(
            "pages need jinja2, which is not installed: apt install python3-jinja2, or pip install jinja2"
        ) from None
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no directory {path.parent}: make it, or choose another --out")
    environment = Environment(
        loader=FileSystemLoader([template.parent, _BASE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "size": size, "figure": figure}
    made = {"version": _version(), "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")}
    atomic_write(path, environment.get_template(template.name).render(made | content).encode())
    return path


def _version() -> str:
    try:
        return version("edgevl")
    except PackageNotFoundError:  # run from its sources, not installed
        return ""


def percent(share: float | None, digits: int = 0) -> str:
    """A share 0..1 as people read it; a dash where there is none."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f}\u00a0%"


def figure(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits after the point; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
