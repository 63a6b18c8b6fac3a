"""Charts of lines: curves of a training, a figure against another, a reliability diagram, a way on a map."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from edgevl_core.page.axes import Axes, Chart, Frame, Key, frame, number, svg
from edgevl_core.page.html import escape, tag

MAP_SIDE = 420.0
_MARKED = 40  # points of a line that are marked one by one


@dataclass(frozen=True)
class Line:
    """One line of a chart; ``style``: a class of the style sheet; ``weights``: 0..1 each, how large a point is."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    weights: Sequence[float] = field(default=())


def line_chart(
    title: str,
    lines: Sequence[Line],
    axes: Axes,
    *,
    parted_at: float | None = None,
    diagonal: bool = False,
    note: str = "",
) -> Chart:
    """Lines with their points.

    Args:
        lines: at least one with a point; those without one are left out, and points that are no number.
        parted_at: x of a vertical line, such as the end of a stage.
        diagonal: draw y = x, which a calibrated confidence follows.
    """
    finite = [replace(line, points=[point for point in line.points if isfinite(point[1])]) for line in lines]
    shown = [line for line in finite if line.points]
    xs, ys = ([point[axis] for line in shown for point in line.points] for axis in (0, 1))
    area = frame([*xs, 0.0, 1.0] if diagonal else xs, ys, axes)
    parts = [area.draw()]
    if diagonal:
        parts.append(_polyline([(0.0, 0.0), (1.0, 1.0)], area, "grid strong"))
    if parted_at is not None:
        x = area.x(parted_at)
        parts.append(tag("line", {"class": "grid strong", "x1": x, "x2": x, "y1": area.y.start, "y2": area.y.stop}))
    parts += [_drawn(line, area) for line in shown]
    legend = [Key(line.style, line.name, line.dashed) for line in shown]
    return Chart(title, svg("".join(parts), f"{title}. {in_words(shown)}"), legend, note)


def in_words(lines: Sequence[Line]) -> str:
    """First and last point of each line: what a chart says to those who do not see it."""
    return "; ".join(
        f"{line.name}: {number(round(line.points[0][1], 3))} at {number(round(line.points[0][0], 3))}, "
        f"{number(round(line.points[-1][1], 3))} at {number(round(line.points[-1][0], 3))}"
        for line in lines
    )


def way_chart(title: str, legs: Sequence[Sequence[tuple[float, float]]], note: str = "") -> Chart:
    """A way driven on a map, x to the right and y up, both in metres at one scale; a ring where it begins.

    Args:
        legs: at least one point in all; a leg begins anew where the robot was carried or not seen.
    """
    points = [point for leg in legs for point in leg]
    xs, ys = zip(*points)
    span = max(max(xs) - min(xs), max(ys) - min(ys), 1.0)
    left, top, pad = min(xs), max(ys), 24.0
    unit = (MAP_SIDE - 2 * pad) / span
    height = min(MAP_SIDE, (max(ys) - min(ys)) * unit + 2 * pad + 20)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return round(pad + (point[0] - left) * unit, 1), round(pad + (top - point[1]) * unit, 1)

    parts = [
        tag("polyline", {"class": "line rgb", "points": " ".join(f"{x},{y}" for x, y in map(at, leg))}) for leg in legs
    ]
    start = at(points[0])
    parts.append(tag("circle", {"class": "ring", "cx": start[0], "cy": start[1], "r": 6}))
    metre = next(size for size in (50, 20, 10, 5, 2, 1, 0.5) if size * unit < MAP_SIDE / 3 or size == 0.5)
    y = round(height - 12, 1)
    parts.append(tag("line", {"class": "bar-of-length", "x1": pad, "x2": pad + metre * unit, "y1": y, "y2": y}))
    parts.append(tag("text", {"x": pad + metre * unit + 6, "y": y + 4}, f"{metre:g} m"))
    alt = f"{title}: {max(xs) - min(xs):.1f} m by {max(ys) - min(ys):.1f} m, {len(legs)} leg(s)"
    return Chart(title, svg("".join(parts), alt, height), (Key("rgb", "driven path"),), note)


def _drawn(line: Line, area: Frame) -> str:
    path = _polyline(line.points, area, f"line {line.style}{' dashed' if line.dashed else ''}")
    if line.dashed or len(line.points) > _MARKED:
        return path
    weights = line.weights or [0.3] * len(line.points)
    return path + "".join(
        tag(
            "circle",
            {"class": f"dot {line.style}", "cx": area.x(x), "cy": area.y(y), "r": round(1.5 + 4.5 * weight**0.5, 1)},
            tag("title", {}, escape(f"{line.name}: {number(round(y, 4))} at {number(round(x, 4))}")),
        )
        for (x, y), weight in zip(line.points, weights)
    )


def _polyline(points: Sequence[tuple[float, float]], area: Frame, style: str) -> str:
    return tag("polyline", {"class": style, "points": " ".join(f"{area.x(x)},{area.y(y)}" for x, y in points)})
