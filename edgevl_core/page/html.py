"""Text that is HTML already, and everything else made harmless."""

import html
from collections.abc import Mapping


class Html(str):
    """Markup made here; a template takes it as it is, and escapes every other text."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def escape(value: object) -> str:
    """Any text for an element or an attribute in quotes."""
    return html.escape(str(value), quote=True)


def tag(name: str, attributes: Mapping[str, object], content: str = "") -> str:
    """An element; ``content`` is HTML already, attributes are escaped, ``_`` in their names becomes ``-``."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"
