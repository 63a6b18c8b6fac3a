"""The page of a bag."""

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.base.sizes import duration, size
from edgevl_core.log_view.content import LogContent
from edgevl_core.log_view.health import signs
from edgevl_core.page.axes import Axes, Chart, Key
from edgevl_core.page.charts import way_chart
from edgevl_core.page.render import write_page
from edgevl_core.page.strips import Stretch, column_chart, runs, strip

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_MOST_STEPS = 60  # columns over the whole time
_COLOURS = 8
_SHOWN_GAPS = 10


def write_log_page(content: LogContent, path: Path) -> Path:
    """Write ``path``, an .html file.

    Raises:
        UserError: see :func:`edgevl_core.page.render.write_page`.
    """
    info = content.info
    start = datetime.fromtimestamp(info.start_ns / 1e9, tz=timezone.utc)
    gaps = content.gaps()
    return write_page(
        path,
        _TEMPLATE,
        {
            "title": f"Drive {Path(info.path).name or info.path}",
            "kind": "log view",
            "subtitle": f"recorded {start:%Y-%m-%d %H:%M} UTC, {info.path}",
            "info": info,
            "facts": _facts(content),
            "signs": signs(content),
            "shown": content.shown,
            "timeline": _timeline(content),
            "scenes": _scene_strips(content),
            "gaps": gaps[:_SHOWN_GAPS],
            "more_gaps": max(0, len(gaps) - _SHOWN_GAPS),
            "way": way_chart("Where it drove", content.way.legs) if content.way.legs else None,
            "way_note": content.way.note,
        },
    )


def _facts(content: LogContent) -> list[tuple[str, str]]:
    info = content.info
    pairs = info.pairing.pairs if info.pairing else 0
    found = [
        ("pairs", f"{pairs}"),
        ("time", duration(info.duration_s)),
        ("on disk", size(info.bytes)),
        ("messages", f"{info.messages}"),
    ]
    if info.coverage:
        found.append(("true rooms", f"{len(info.coverage)}"))
    if content.way.legs:
        found.append(("driven", f"{content.way.length_m:.0f} m"))
    return found


def _timeline(content: LogContent) -> Chart | None:
    if len(content.stamp_ns) < 2:
        return None
    at_s = (content.stamp_ns - content.stamp_ns[0]) / 1e9
    unit, name = (60.0, "minutes") if at_s[-1] > 180 else (1.0, "seconds")
    last = float(at_s[-1]) / unit or 1.0
    steps = min(_MOST_STEPS, max(4, len(at_s) // 10))  # with fewer pairs each, a column says nothing
    counts = np.histogram(at_s / unit, bins=steps, range=(0, last))[0]
    axes = Axes(f"{name} since the first pair", f"pairs in {duration(float(at_s[-1]) / steps)}")
    return column_chart("Pairs over time", counts.tolist(), axes, low=0.0, high=last)


def _scene_strips(content: LogContent) -> list[dict[str, Any]]:
    """True rooms and what the classifier said, over time; those that were recorded."""
    if len(content.stamp_ns) < 2:
        return []
    rooms = [(content.seconds(int(stamp)), room) for stamp, room in zip(content.stamp_ns, content.rooms) if room]
    said = [(content.seconds(scene.stamp_ns), scene.label) for scene in content.scenes]
    names = [name for name, _ in Counter(name for _, name in [*rooms, *said]).most_common()]
    styles = {name: f"c{min(place, _COLOURS - 1)}" for place, name in enumerate(names)}  # the rare ones share the last
    length = content.seconds(int(content.stamp_ns[-1])) or 1.0
    found = []
    for title, entries in (("True rooms (for evaluation only)", rooms), ("What scene_classifier said", said)):
        if not entries:
            continue
        stretches = [
            Stretch(
                max(entries[first][0], 0.0),
                min(entries[min(stop, len(entries) - 1)][0], length),
                styles[name],
                f"{name}, from {entries[first][0]:.0f} s",
            )
            for first, stop, name in runs([name for _, name in entries])
        ]
        present = Counter(name for _, name in entries)
        words = ", ".join(f"{name} {count}" for name, count in present.most_common())
        found.append(
            {
                "title": title,
                "svg": strip(stretches, length, f"{title} over time: {words}"),
                "legend": [Key(styles[name], f"{name} ({count})") for name, count in present.most_common()],
            }
        )
    return found
