"""Charts as SVG: round ticks, words beside every drawing, and nothing that a name could break."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.page.axes import Axes, ticks
from edgevl_core.page.charts import Line, line_chart, way_chart
from edgevl_core.page.pictures import depth_uri, rgb_uri
from edgevl_core.page.render import percent, write_page
from edgevl_core.page.strips import Counted, Stretch, column_chart, dots, ridge_chart, runs, stacked, strip

pytestmark = pytest.mark.unit
EVIL = '<script>alert("x")</script>'


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.5, 0.93, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (-3.0, 4.0, [-2, 0, 2, 4]),
        (2.0, 2.0, [2.0]),
        (0.0, float("inf"), [0.0]),
    ],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_what_is_counted_has_whole_ticks() -> None:
    assert ticks(0, 12, 6, whole=True) == [0, 2, 4, 6, 8, 10, 12]
    assert ticks(0, 2, 6, whole=True) == [0, 1, 2]


def test_names_are_harmless_in_every_drawing() -> None:
    line = Line(EVIL, "rgb", [(0, 0.5), (1, 0.7)])
    counted = Counted("rgb", EVIL, 40, [1, 2])
    drawn = [
        line_chart(EVIL, [line], Axes(EVIL, EVIL)).svg,
        ridge_chart(EVIL, [(EVIL, [counted])], EVIL).svg,
        column_chart(EVIL, [1, 0, 2], Axes(EVIL, EVIL), low=0, high=3).svg,
        way_chart(EVIL, [[(0, 0), (1, 1)]]).svg,
        strip([Stretch(0, 1, "c0", EVIL)], 1, EVIL),
    ]
    for svg in drawn:
        assert "<script" not in svg
        assert "&lt;script&gt;" in svg


def test_a_chart_says_its_ends_in_words() -> None:
    chart = line_chart("Loss", [Line("RGB", "rgb", [(1, 0.8), (4, 0.2)]), Line("none", "depth", [])], Axes("epoch"))
    assert 'aria-label="Loss. RGB: 0.8 at 1, 0.2 at 4"' in chart.svg
    assert [key.name for key in chart.legend] == ["RGB"]


@pytest.mark.parametrize("points", [[(0.0, 0.5)], [(0.0, 0.5), (0.0, 0.5)], [(1.0, float("nan")), (2.0, 0.3)]])
def test_a_chart_of_next_to_nothing_is_drawn(points: list[tuple[float, float]]) -> None:
    svg = line_chart("x", [Line("a", "rgb", points)], Axes("epoch")).svg
    assert 'viewBox="0 0 420 236"' in svg
    assert "inf" not in svg
    assert "nan" not in svg


def test_one_point_and_a_robot_that_stood_still() -> None:
    assert "circle" in way_chart("way", [[(2.0, 3.0)]]).svg
    assert "0.5 m" in way_chart("way", [[(2.0, 3.0), (2.0, 3.0)]]).svg


def test_neighbours_that_are_equal_become_one() -> None:
    assert runs(["a", "a", "b", "a"]) == [(0, 2, "a"), (2, 3, "b"), (3, 4, "a")]
    assert runs([]) == []


def test_parts_of_a_bar() -> None:
    assert 'style="width:75.00%"' in stacked([("kept", 3), ("dropped", 1)], 4)
    assert stacked([("kept", 0)], 0) == ""
    assert dots({"rgb": [0.5, 0.7]}, 0.4, 0.8).count("<circle") == 2


def test_pictures_are_data() -> None:
    rgb = np.zeros((24, 32, 3), np.uint8)
    assert rgb_uri(rgb).startswith("data:image/jpeg;base64,")
    assert depth_uri(rgb).startswith("data:image/jpeg;base64,")  # nothing measured


def test_a_page_goes_into_a_directory_that_is_there(tmp_path: Path) -> None:
    template = tmp_path / "a.html.j2"
    template.write_text("{{ name }} {{ share | percent(1) }}")
    page = write_page(tmp_path / "a.html", template, {"name": EVIL, "share": 0.5})
    assert page.read_text() == "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; 50.0\u00a0%"
    assert percent(None) == percent(float("nan")) == "–"
    with pytest.raises(UserError, match="there is no directory"):
        write_page(tmp_path / "not/there.html", template, {"name": "", "share": 0})
