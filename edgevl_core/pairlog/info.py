"""What is in a bag, and a healthy bag from a damaged one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Metadata
from pydantic import BaseModel, ConfigDict

from edgevl_core.base.errors import UserError
from edgevl_core.pairing.pair_matcher import Dropped, Event, PairMatcher
from edgevl_core.pairlog.calibration import CalibrationReader, bag_registration, info_topics, read_calibration
from edgevl_core.pairlog.cdr_header import stamp_ns_or_none
from edgevl_core.pairlog.doubts import picture_doubts
from edgevl_core.pairlog.facts import log_facts
from edgevl_core.pairlog.metadata import METADATA_NAME
from edgevl_core.pairlog.offset import offset_advice
from edgevl_core.pairlog.pairs import DEPTH, MAX_SKEW_S, RGB
from edgevl_core.pairlog.reader import BagReader, is_storage
from edgevl_core.pairlog.segments import CDR, Message
from edgevl_core.pairlog.staging import staged_bag
from edgevl_core.pairlog.streams import Streams, find_streams
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, SCENE_TRUTH, BrokenMessage, deserialize

_STREAM_NAMES = ("rgb", "depth")
TOLD_EVERY = 100  # messages
OnProgress = Callable[[int, int], None]


class TopicInfo(BaseModel):
    """A topic and the number of its messages that can be read."""

    model_config = ConfigDict(frozen=True)
    name: str
    type: str
    messages: int


class PairingInfo(BaseModel):
    """How the RGB and depth streams pair by their header stamps; skews in seconds, NaN without a pair.

    advice: where the nearest depth images are, if there is no pair.
    """

    model_config = ConfigDict(frozen=True)
    rgb: str
    depth: str
    pairs: int
    dropped: dict[str, int]
    skew_p50_s: float
    skew_p95_s: float
    advice: str = ""


class LogInfo(BaseModel):
    """A bag's content.

    Attributes:
        pairing: None without both streams.
        doubts: what may be wrong with it, one sentence each: the unit of depth, the clock, the calibration.
        registered: whether depth is registered to RGB, see :class:`edgevl_core.camera.registration.Registration`.
        coverage: truth messages by room.
        facts: what pair_logger said of its own log: reduced, compressed; none of a bag that it did not write.
    """

    model_config = ConfigDict(frozen=True)
    path: str
    bytes: int
    segments: int
    messages: int
    start_ns: int
    duration_s: float
    topics: list[TopicInfo]
    losses: list[str]
    doubts: list[str] = []
    pairing: PairingInfo | None
    not_paired_because: str
    registered: str
    coverage: dict[str, int]
    facts: dict[str, str]


@dataclass(frozen=True)
class RecoverSummary:
    """What :func:`recover` wrote, and what could not be saved, one plain sentence each."""

    messages: int
    bytes: int
    losses: list[str]


def log_info(
    path: Path | str,
    max_skew_s: float = MAX_SKEW_S,
    *,
    rgb: str | None = None,
    depth: str | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> LogInfo:
    """Read a whole bag once, decode a few images, and describe it.

    Args:
        max_skew_s: largest difference of stamps within a pair, inclusive.
        rgb, depth: topics, found by type when None.
        on_progress: called with the messages read so far, and how many there should be.

    Raises:
        UserError: there is no such bag, or nothing can be read from it; a named topic is not in it.
    """
    with BagReader(path) as reader:
        streams, reason = _streams(reader, rgb, depth)
        calibration = read_calibration(reader, streams) if streams else None
        doubts = picture_doubts(reader, streams) if streams else []
        seen = _read_through(reader, streams, calibration, max_skew_s, on_progress)
        files = _storage_files(reader.path)
        facts = log_facts(reader)
        registered = facts.pop("registered", "")
        if streams and calibration:
            registered = str(bag_registration(calibration, registered))
        return LogInfo(
            path=str(path),
            bytes=sum(file.stat().st_size for file in files),
            segments=sum(is_storage(file) for file in files),
            messages=seen.of_topic.total(),
            start_ns=seen.first_ns,
            duration_s=(seen.last_ns - seen.first_ns) / 1e9,
            topics=[
                TopicInfo(name=t.name, type=t.msgtype, messages=seen.of_topic[t.name])
                for t in sorted(reader.topics.values(), key=lambda t: t.name)
            ],
            losses=[*reader.losses, *seen.matcher.time_losses()],
            doubts=doubts + seen.matcher.pauses() + (calibration.finder.changes if calibration else []),
            pairing=_pairing(streams, seen.events, seen.unreadable) if streams else None,
            not_paired_because=reason,
            coverage=dict(seen.rooms.most_common()),
            registered=registered,
            facts=facts,
        )


@dataclass
class _Seen:
    """What a whole reading has found; ``rooms``: frames by their true room."""

    matcher: PairMatcher[None]
    events: list[Event[None]] = field(default_factory=list)
    rooms: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    of_topic: Counter[str] = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0


def _read_through(
    reader: BagReader,
    streams: Streams | None,
    calibration: CalibrationReader | None,
    max_skew_s: float,
    on_progress: OnProgress,
) -> _Seen:
    """Read every message once; ``calibration`` gets those of its topics."""
    number = {streams.rgb: RGB, streams.depth: DEPTH} if streams else {}
    infos = info_topics(reader, streams) if streams else {}
    seen = _Seen(PairMatcher(max_skew_s))
    for message in _told(reader.messages(), reader, on_progress):
        seen.first_ns = seen.first_ns if seen.of_topic else message.stamp_ns
        seen.last_ns = message.stamp_ns
        seen.of_topic[message.topic] += 1
        if message.topic in number:
            stamp_ns = stamp_ns_or_none(message.data)
            if stamp_ns is None:
                seen.unreadable[f"{_STREAM_NAMES[number[message.topic]]} unreadable"] += 1
            else:
                seen.events += seen.matcher.push(number[message.topic], stamp_ns, None)
        elif message.topic in infos and calibration:
            with suppress(BrokenMessage):
                calibration.add(infos[message.topic], message.data)
        elif message.msgtype == SCENE_TRUTH and reader.topics[message.topic].encoding == CDR:
            try:
                seen.rooms[deserialize(message.data, SCENE_TRUTH).room] += 1
            except BrokenMessage:
                seen.unreadable["truth unreadable"] += 1
    seen.events += seen.matcher.flush()
    return seen


def _told(messages: Iterable[Message], reader: BagReader, on_progress: OnProgress) -> Iterator[Message]:
    """The messages; every so many, ``on_progress`` is told."""
    total = sum(topic.count for topic in reader.topics.values())
    for number, message in enumerate(messages):
        if number % TOLD_EVERY == 0:
            on_progress(min(number, total), total)
        yield message


def recover(source: Path | str, out: Path | str, on_progress: OnProgress = lambda done, total: None) -> RecoverSummary:
    """Write what can be read from ``source`` to the new, healthy bag ``out``; ``source`` stays as it is.

    Args:
        on_progress: called with the messages saved so far, and how many there should be.

    Raises:
        UserError: ``source`` is no bag, no message of it can be saved, or ``out`` exists.
    """
    with BagReader(source) as reader, staged_bag(out) as bag:
        losses = reader.losses
        names = []
        for topic in reader.topics.values():
            qos = "sensor" if topic.msgtype in (IMAGE, COMPRESSED_IMAGE) else "reliable"
            try:
                bag.add_topic(topic.name, topic.msgtype, qos, topic.schema, topic.encoding)
            except ValueError:
                losses.append(f"{topic.name}: its type {topic.msgtype} is described nowhere: left out")
            else:
                names.append(topic.name)
        messages = 0
        for message in _told(reader.messages(names), reader, on_progress):
            bag.write(message.topic, message.data, message.stamp_ns)
            messages += 1
        if not messages:
            raise UserError(f"{source}: nothing could be saved ({'; '.join(losses)}): give another bag")
        # Last of all, so that pair_logger's mark is not where it puts it: nobody asked to have this copy removed when
        # its logs grow over their budget.
        for record in _each_once(reader.extras()):
            bag.add_extra(record)
    return RecoverSummary(messages, bag.bytes_written, losses)


def _each_once(records: Iterable[Any]) -> Iterator[Any]:
    """Without repetitions: facts stand in every segment. rosbag2's own record describes the files that were."""
    told: list[Any] = []
    for record in records:
        if record not in told and not (isinstance(record, Metadata) and record.name == "rosbag2"):
            told = [*told, record] if isinstance(record, Metadata) else told
            yield record


def _storage_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [file for file in path.iterdir() if file.is_file() and file.name != METADATA_NAME]
    return sorted(files, key=lambda file: (len(file.name), file.name))  # _9 before _10


def _streams(reader: BagReader, rgb: str | None, depth: str | None) -> tuple[Streams | None, str]:
    try:
        return find_streams(reader, rgb, depth), ""
    except UserError as error:  # a bag without depth can still be described
        if rgb or depth:
            raise
        return None, str(error)


def _pairing(streams: Streams, events: list[Event[None]], unreadable: Counter[str]) -> PairingInfo:
    skews_s = [event.skew_s for event in events if not isinstance(event, Dropped)]
    lost = [event for event in events if isinstance(event, Dropped)]
    dropped = Counter(f"{_STREAM_NAMES[event.stream]} {event.reason}" for event in lost) + unreadable
    stamps = [[event.stamp_ns for event in lost if event.stream == stream] for stream in (RGB, DEPTH)]
    p50, p95 = np.percentile(skews_s, (50, 95)) if skews_s else (np.nan, np.nan)
    return PairingInfo(
        rgb=streams.rgb,
        depth=streams.depth,
        pairs=len(skews_s),
        dropped=dict(dropped),
        skew_p50_s=float(p50),
        skew_p95_s=float(p95),
        advice="" if skews_s else offset_advice(*stamps),
    )
