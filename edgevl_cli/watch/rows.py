"""What is seen of a robot in words: one row a subject, the same on the screen and in plain lines."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from edgevl_cli.tables import MODALITIES
from edgevl_core.base.sizes import duration, size
from edgevl_core.watch.seen import Adaptation, Log, Rooms, Scene, Seen

MOST_ROOMS = 12


class Row(NamedTuple):
    """One line. ``fine``: False where somebody should look after it; None where it is only worth knowing."""

    name: str
    text: str
    fine: bool | None = True


def rows(seen: Seen) -> list[Row]:
    """All rows, the most important first."""
    found = []
    if seen.scene is not None:
        found.append(Row("scene", _scene(seen.scene)))
    if seen.cameras:
        hz = ", ".join(f"{_words(name)} {rate:.1f} Hz" for name, rate in seen.cameras.items())
        found.append(Row("cameras", hz, all(seen.cameras.values())))
    if seen.frames_dropped:
        found.append(Row("no answer", _counts(seen.frames_dropped)))
    if seen.log is not None:
        found += _log(seen.log)
    if seen.adaptation is not None:
        found.append(_adaptation(seen.adaptation))
    if seen.rooms is not None:
        found.append(Row("map", _rooms(seen.rooms)))
    return [*found, *troubles(seen)]


def troubles(seen: Seen) -> list[Row]:
    """What nodes complain of, which of them are silent, and where others are."""
    complaints = [Row(name, node.message, False) for name, node in seen.nodes.items() if node.level != "ok"]
    silent = [Row(name, text, None) for name, text in seen.not_heard.items()]
    if not seen.nodes and seen.elsewhere:
        silent.append(Row("elsewhere", f"edgevl's nodes run in {', '.join(seen.elsewhere)}: pass --namespace", None))
    return [*complaints, *silent]


def nothing_heard(seen: Seen) -> str:
    """One line where no node speaks at all; empty: one does."""
    if seen.nodes:
        return ""
    if seen.elsewhere:
        return f"no edgevl node heard here, but in {', '.join(seen.elsewhere)}: pass --namespace {seen.elsewhere[0]}"
    return (
        f"no edgevl node heard in {seen.watched_s:.0f} s: start one, or see whether ROS_DOMAIN_ID is the robot's "
        "(edgevl doctor --live)"
    )


def headline(scene: Scene) -> str:
    """The label in force, as far as it is known."""
    return scene.label if scene.known else f"unknown, most like {scene.label}"


def modality(scene: Scene) -> str:
    """What the answer was made from, in words."""
    return _words(scene.modality)


def _words(name: str) -> str:
    return {str(modality): words for modality, words in MODALITIES.items()}.get(name, name)


def _scene(scene: Scene) -> str:
    others = [(label, score) for label, score in scene.scores.items() if label != scene.label]
    then = f"; then {', '.join(f'{label} {score:.2f}' for label, score in others[:2])}" if others else ""
    return (
        f"{headline(scene)} {scene.confidence:.2f} from {modality(scene)}, {scene.hz:.1f} a second, "
        f"{scene.latency_ms:.0f} ms{then}"
    )


def _log(log: Log) -> Iterator[Row]:
    where = f" in {log.path}" if log.path else ""
    text = f"{log.state}, {log.pairs_kept} pairs kept, {size(log.bytes)}, {log.mb_per_s:.2f} MB/s"
    yield Row("log", f"{text}, {size(log.free_bytes)} free{where}", log.state != "failed")
    if any(log.dropped.values()):
        yield Row("not kept", _counts(log.dropped))
    if log.scenes:
        yield Row("kept", _counts(log.scenes))


def _adaptation(adaptation: Adaptation) -> Row:
    text = adaptation.state
    if adaptation.state == "running":
        left = "" if adaptation.eta_s is None else f", {duration(adaptation.eta_s)} left"
        text = f"{adaptation.stage} {adaptation.progress:.0%}{left}"
    because = f": {adaptation.message}" if adaptation.message else ""
    return Row("adaptation", text + because, adaptation.state != "failed")


def _rooms(rooms: Rooms) -> str:
    shown = ", ".join(rooms.names[:MOST_ROOMS]) + (", ..." if len(rooms.names) > MOST_ROOMS else "")
    here = f"in the {rooms.here}; " if rooms.here else ""
    return f"{here}{len(rooms.names)} rooms{': ' if shown else ''}{shown}"


def _counts(counts: Mapping[str, int]) -> str:
    """By how often, most often first."""
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {count}" for name, count in ordered if count)
