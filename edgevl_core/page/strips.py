"""Small drawings: strips of time, bars by label, dots of several seeds, histograms above each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgevl_core.page.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axes,
    Chart,
    Frame,
    Key,
    Scale,
    number,
    svg,
    ticks,
)
from edgevl_core.page.html import Html, escape, tag

_STRIP = 1000.0
_DOTS_WIDTH, _DOTS_HEIGHT = 160.0, 10.0
_ROW = 62.0


@dataclass(frozen=True)
class Stretch:
    """A part of a strip, from ``start`` to ``stop`` of the strip's own unit; ``name`` is shown under the pointer."""

    start: float
    stop: float
    style: str
    name: str = ""


def strip(parts: Sequence[Stretch], length: float, alt: str, height: float = 22.0) -> Html:
    """Stretches beside each other on one line that is as wide as its place."""
    unit = _STRIP / length if length > 0 else 0.0
    drawn = "".join(
        tag(
            "rect",
            {
                "class": f"fill {part.style}",
                "x": round(part.start * unit, 2),
                "width": round(max((part.stop - part.start) * unit, 1.0), 2),
                "y": 0,
                "height": height,
            },
            tag("title", {}, escape(part.name)) if part.name else "",
        )
        for part in parts
    )
    shape = {"class": "strip", "viewBox": f"0 0 {_STRIP:g} {height:g}", "preserveAspectRatio": "none"}
    return Html(tag("svg", shape | {"role": "img", "aria_label": alt}, drawn))


def runs(kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Equal neighbours together: (first, one past the last, kind)."""
    found: list[tuple[int, int, str]] = []
    for place, kind in enumerate(kinds):
        if found and found[-1][2] == kind:
            found[-1] = (found[-1][0], place + 1, kind)
        else:
            found.append((place, place + 1, kind))
    return found


def stacked(parts: Sequence[tuple[str, float]], whole: float) -> Html:
    """A bar for a cell of a table: (style, amount) beside each other; the figures stand in cells of their own."""
    if not whole > 0:
        return Html("")
    widths = "".join(
        tag("span", {"class": f"fill {style}", "style": f"width:{100 * amount / whole:.2f}%"})
        for style, amount in parts
    )
    return Html(tag("span", {"class": "stacked", "aria_hidden": "true"}, widths))


def dots(groups: Mapping[str, Sequence[float]], low: float, high: float) -> Html:
    """Values of several seeds, by style, with their mean; for a cell of a table whose figures stand beside it."""
    scale = Scale(low, high, 5, _DOTS_WIDTH - 5)
    height = _DOTS_HEIGHT * len(groups)
    parts = []
    for place, (style, values) in enumerate(groups.items()):
        y = _DOTS_HEIGHT * (place + 0.5)
        parts.append(tag("line", {"class": "grid", "x1": 0, "x2": _DOTS_WIDTH, "y1": y, "y2": y}))
        parts += [tag("circle", {"class": f"dot {style}", "cx": scale(value), "cy": y, "r": 2.2}) for value in values]
        mean = scale(sum(values) / len(values))
        parts.append(tag("line", {"class": f"line {style}", "x1": mean, "x2": mean, "y1": y - 4, "y2": y + 4}))
    shape = {"class": "dots", "viewBox": f"0 0 {_DOTS_WIDTH:g} {height:g}", "aria_hidden": "true"}
    return Html(tag("svg", shape, "".join(parts)))


@dataclass(frozen=True)
class Counted:
    """A histogram in steps of one: ``counts[i]`` from ``start + i`` on."""

    style: str
    name: str
    start: int
    counts: Sequence[int]


def ridge_chart(title: str, rows: Sequence[tuple[str, Sequence[Counted]]], x_label: str, note: str = "") -> Chart:
    """Histograms above each other on one axis, each row (name, histograms) by its own highest count."""
    every = [counted for _, row in rows for counted in row]
    low = min(counted.start for counted in every)
    high = max(counted.start + len(counted.counts) for counted in every)
    height = TOP + _ROW * len(rows) + BOTTOM
    scale = Scale(low, high, 12, WIDTH - RIGHT)
    base = TOP + _ROW * len(rows)
    parts = []
    for value in ticks(low, high, 8):
        x = scale(value)
        parts.append(tag("line", {"class": "grid", "x1": x, "x2": x, "y1": TOP, "y2": base}))
        parts.append(tag("text", {"x": x, "y": base + 16, "text_anchor": "middle"}, number(value)))
    parts.append(tag("text", {"x": WIDTH / 2, "y": base + 33, "text_anchor": "middle"}, escape(x_label)))
    said = []
    for place, (name, row) in enumerate(rows):
        floor = TOP + _ROW * (place + 1)
        most = max(max(counted.counts) for counted in row)
        up = Scale(0, most, floor, floor - _ROW + 18)
        parts += [_steps(counted, scale, up) for counted in row]
        parts.append(tag("line", {"class": "grid strong", "x1": 12, "x2": WIDTH - RIGHT, "y1": floor, "y2": floor}))
        parts.append(tag("text", {"class": "row", "x": 14, "y": floor - _ROW + 13}, escape(name)))
        said.append(f"{name}: " + ", ".join(f"{counted.name} mostly at {_middle(counted)}" for counted in row))
    legend = [Key(counted.style, counted.name) for counted in rows[0][1]]
    return Chart(title, svg("".join(parts), f"{title}. {'; '.join(said)}", height), legend, note)


def column_chart(title: str, heights: Sequence[float], axes: Axes, *, low: float, high: float) -> Chart:
    """Equal steps of low..high as columns, such as pairs over time."""
    up = Scale(0, max(max(heights), 1.0) * 1.05, HEIGHT - BOTTOM, TOP)
    area = Frame(Scale(low, high, LEFT, WIDTH - RIGHT), up, axes)
    wide = (area.x.stop - area.x.start) / len(heights)
    columns = "".join(
        tag(
            "rect",
            {
                "class": "fill rgbd",
                "x": round(area.x.start + place * wide, 2),
                "width": round(max(wide - 0.6, 0.6), 2),
                "y": area.y(value),
                "height": round(area.y.start - area.y(value), 2),
            },
        )
        for place, value in enumerate(heights)
        if value
    )
    empty = sum(1 for value in heights if not value)
    alt = f"{title}: at most {max(heights):g} {axes.y_label}, {empty} of {len(heights)} steps empty"
    return Chart(title, svg(area.draw() + columns, alt))


def _middle(counted: Counted) -> int:
    half, passed = sum(counted.counts) / 2, 0
    for place, count in enumerate(counted.counts):
        passed += count
        if passed >= half:
            return counted.start + place
    return counted.start


def _steps(counted: Counted, x: Scale, y: Scale) -> str:
    points = [f"{x(counted.start)},{y(0)}"]
    for place, count in enumerate(counted.counts):
        left, right = x(counted.start + place), x(counted.start + place + 1)
        points += [f"{left},{y(count)}", f"{right},{y(count)}"]
    points.append(f"{x(counted.start + len(counted.counts))},{y(0)}")
    return tag("polygon", {"class": f"area {counted.style}", "points": " ".join(points)})
