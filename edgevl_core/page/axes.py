"""Scales, ticks and the frame of a chart, as SVG. Sizes are those of a chart 420 units wide."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgevl_core.page.html import Html, escape, tag

WIDTH, HEIGHT = 420, 236
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 40


@dataclass(frozen=True)
class Key:
    """One entry of a legend: ``style`` is a class of the style sheet (rgb, depth, rgbd, ...)."""

    style: str
    name: str
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing with its title, legend and a sentence below it."""

    title: str
    svg: Html
    legend: Sequence[Key] = ()
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """Numbers low..high to units start..stop, linear."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.stop - self.start), 2)


@dataclass(frozen=True)
class Axes:
    """What the axes say.

    Attributes:
        y_range: of the y axis; None: what the points need.
        whole: x counts something, such as epochs, and has no ticks between.
    """

    x_label: str
    y_label: str = ""
    y_range: tuple[float, float] | None = None
    whole: bool = False


@dataclass(frozen=True)
class Frame:
    """The area of a chart."""

    x: Scale
    y: Scale
    axes: Axes

    def draw(self) -> str:
        """Grid, ticks and labels."""
        parts = [
            _line(self.x.start, self.y(value), self.x.stop, self.y(value))
            + _text(self.x.start - 6, self.y(value) + 4, number(value), "end")
            for value in ticks(self.y.low, self.y.high)
        ]
        parts += [
            _text(self.x(value), self.y.start + 16, number(value))
            for value in ticks(self.x.low, self.x.high, 6, self.axes.whole)
        ]
        middle = (self.y.start + self.y.stop) / 2
        parts.append(_text((self.x.start + self.x.stop) / 2, self.y.start + 33, self.axes.x_label))
        if self.axes.y_label:
            turned = {"x": 0, "y": 0, "text_anchor": "middle", "transform": f"translate(11 {middle}) rotate(-90)"}
            parts.append(tag("text", turned, escape(self.axes.y_label)))
        return "".join(parts)


def frame(xs: Iterable[float], ys: Iterable[float], axes: Axes) -> Frame:
    """A frame that holds all points."""
    x_low, x_high = _range(xs)
    y_low, y_high = axes.y_range or _range(ys)
    if axes.y_range is None:
        pad = 0.06 * (y_high - y_low)
        y_low, y_high = (y_low - pad if y_low < 0 or y_low > pad else 0.0), y_high + pad
    x = Scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    return Frame(x, Scale(y_low, y_high, HEIGHT - BOTTOM, TOP), axes)


def svg(content: str, alt: str, height: float = HEIGHT, width: float = WIDTH) -> Html:
    """A picture of its own, as wide as its place; ``alt`` says in words what it shows."""
    attributes = {"class": "chart", "viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria_label": alt}
    return Html(tag("svg", attributes, tag("title", {}, escape(alt)) + content))


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """At most about so many round numbers within low..high; ``whole``: no fractions."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low] if math.isfinite(low) else []
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(factor * power for factor in factors if factor * power >= raw * 0.999)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as an axis shows it."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.1e}"


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = [value for value in values if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return tag("line", {"class": "grid", "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return tag("text", {"x": round(x, 2), "y": round(y, 2), "text_anchor": anchor}, escape(text))
