"""What all of matplotlib's plots share: words of users, colours, the file."""

import io
from typing import Any

CAMERA_COLOURS = {"rgb": "#c44e52", "depth": "#4c72b0", "rgbd": "#55a868"}
"""By modality, in the order in which they are drawn."""


def as_written(text: str) -> str:
    """``text`` for matplotlib to draw as it is; else two ``$`` make a formula, and a faulty one is refused."""
    return text.replace("$", r"\$")


def png(figure: Any, dpi: int) -> bytes:
    """A matplotlib Figure as a PNG file. Made without pyplot, it needs no display and leaves no global state."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
