"""Which topics of a bag are the RGB and the depth stream of one camera, and which go with them."""

from dataclasses import dataclass
from itertools import islice

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.image_topics import (
    IMAGE_TYPES,
    ImageTopic,
    base_name,
    image_topic,
    image_topics,
    one_camera,
)
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import CAMERA_INFO, SCENE_TRUTH, BrokenMessage, deserialize

_CHOSEN_BY_CAMERA = 6  # leading parts of a rank that say which camera, and whether it is an RGB-D camera at all
_SHOWN = 4  # pairs of topics named in a question


@dataclass(frozen=True)
class Streams:
    """The topics of a bag by role; None where the bag has none. depth_camera_info: another than camera_info."""

    rgb: str
    depth: str
    camera_info: str | None
    truth: str | None
    depth_camera_info: str | None = None


Couple = tuple[ImageTopic, ImageTopic]


def find_streams(reader: BagReader, rgb: str | None = None, depth: str | None = None) -> Streams:
    """The RGB and depth topics of a bag: those named (with or without the leading slash), else found as a pair.

    A topic's role is told by the encoding of its first readable images: label images, vectors and video have none. The
    two are of one camera as far as frame_id and namespace tell; colour goes before grey, a topic called depth before
    others, registered depth before unregistered, raw before compressed. How many messages a topic has says nothing.

    Raises:
        UserError: a named topic is missing or no image; a stream is not in the bag (the topics present are listed); two
            cameras, or two topics of one, fit equally (they are named).
    """
    chosen_rgb = None if rgb is None else image_topic(reader, _named(reader, rgb))
    chosen_depth = None if depth is None else image_topic(reader, _named(reader, depth))
    found = image_topics(reader) if chosen_rgb is None or chosen_depth is None else []
    colours = [chosen_rgb] if chosen_rgb else _with_role(reader, found, "rgb", "grey")
    depths = [chosen_depth] if chosen_depth else _with_role(reader, found, "depth")
    couple = _best(reader, [(one, two) for one in colours for two in depths])
    names = tuple(topic.name for topic in couple)
    if names[0] == names[1]:
        raise UserError(f"{reader.path}: rgb and depth are both {names[0]!r}: name two different topics")
    of_rgb, of_depth = (camera_info_beside(reader, name) for name in names)
    return Streams(
        names[0],
        names[1],
        of_rgb or _camera_info_elsewhere(reader, couple[0], but=of_depth),
        _of_type(reader, SCENE_TRUTH, near="truth"),
        None if of_depth == of_rgb else of_depth,
    )


def camera_info_beside(reader: BagReader, image: str) -> str | None:
    """The camera_info of an image topic: in the same namespace, as image_transport has it; None where there is none."""
    name = f"{base_name(image).rpartition('/')[0]}/camera_info"
    topic = reader.topics.get(name) or reader.topics.get(name.lstrip("/"))
    return topic.name if topic is not None and topic.msgtype == CAMERA_INFO else None


def _with_role(reader: BagReader, found: list[ImageTopic], *roles: str) -> list[ImageTopic]:
    """The topics of a role, one for each stream of images: of several transports the best."""
    best: dict[str, ImageTopic] = {}
    for topic in found:
        if topic.role in roles:
            best[topic.base] = min(best.get(topic.base, topic), topic, key=lambda one: one.transport)
    if not best:
        raise UserError(
            f"{reader.path}: the bag has no {roles[0]} image topic; it has {_listing(reader)}: record the "
            f"{roles[0]} stream as well, or name its topic (--{roles[0]}){_encodings(found)}"
        )
    return list(best.values())


def _best(reader: BagReader, couples: list[Couple]) -> Couple:
    """The couple of highest rank, if it is the only one, and no other camera has as good a couple."""
    ranked = sorted(((_rank(*couple), couple) for couple in couples), key=lambda one: one[0], reverse=True)
    rank, best = ranked[0]
    rivals = [
        other
        for of_other, other in ranked[1:]
        if of_other == rank
        or (
            of_other[:_CHOSEN_BY_CAMERA] == rank[:_CHOSEN_BY_CAMERA]
            and all(mine.camera != theirs.camera for mine, theirs in zip(best, other))
        )
    ]
    if not rivals:
        return best
    shown = [f"{one.name} with {two.name}" for one, two in [best, *rivals][:_SHOWN]]
    more = f" or {len(rivals) + 1 - _SHOWN} more" if len(rivals) >= _SHOWN else ""
    raise UserError(
        f"{reader.path}: several pairs of topics fit: {' or '.join(shown)}{more}: choose with --rgb TOPIC --depth TOPIC"
    )


def _rank(rgb: ImageTopic, depth: ImageTopic) -> tuple[int, ...]:
    """The larger, the better; the first six say which camera, see ``_CHOSEN_BY_CAMERA``."""
    return (
        *one_camera(rgb, depth),
        rgb.role != "grey",
        "depth" not in rgb.name,
        "depth" in depth.name,
        depth.encoding != "mono16",  # it may be an infrared image
        depth.registered,
        rgb.frame_id == depth.frame_id,
        -rgb.transport,
        -depth.transport,
    )


def _named(reader: BagReader, name: str) -> str:
    found = next((t for t in reader.topics if t.lstrip("/") == name.lstrip("/")), None)
    if found is None:
        raise UserError(f"{reader.path}: the bag has no topic {name!r}; it has {_listing(reader)}")
    msgtype = reader.topics[found].msgtype
    if msgtype not in IMAGE_TYPES:
        raise UserError(f"{reader.path}: topic {found} holds {msgtype}: name an Image or CompressedImage topic")
    return found


def _camera_info_elsewhere(reader: BagReader, rgb: ImageTopic, but: str | None) -> str | None:
    """A camera_info that does not lie beside the images, if it is of their frame: not of another camera."""
    name = _of_type(reader, CAMERA_INFO, near=rgb.name, but=but)
    for message in islice(reader.messages([name] if name else []), 1):
        try:
            frame_id = deserialize(message.data, CAMERA_INFO).header.frame_id
        except BrokenMessage:
            return None
        return name if frame_id == rgb.frame_id or not frame_id or not rgb.frame_id else None
    return None


def _of_type(reader: BagReader, msgtype: str, near: str, but: str | None = None) -> str | None:
    """The topic of that type, other than ``but``, whose name begins most like ``near``."""

    def shared(name: str) -> int:
        parts = zip(name.strip("/").split("/"), near.strip("/").split("/"))
        return next((i for i, (x, y) in enumerate(parts) if x != y), 99)

    names = sorted(
        t.name for t in reader.topics.values() if t.msgtype == msgtype and t.name != but and t.encoding == CDR
    )
    return max(names, key=shared, default=None)


def _listing(reader: BagReader) -> str:
    topics = sorted(reader.topics.values(), key=lambda t: t.name)
    return ", ".join(f"{t.name} ({t.msgtype})" for t in topics)


def _encodings(images: list[ImageTopic]) -> str:
    return f"; images: {', '.join(f'{image.name} {image.encoding}' for image in images)}" if images else ""
