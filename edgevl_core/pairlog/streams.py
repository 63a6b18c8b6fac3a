"""Which topics of a bag are the RGB and the depth stream, and which go with them."""

from dataclasses import dataclass

from edgevl_core.base.errors import UserError
from edgevl_core.camera.images import message_encoding
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, SCENE_TRUTH, deserialize

_IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")  # the likeliest first: mono16 may be an infrared image
_REGISTERED = ("aligned", "registered")
_TRANSPORTS = ("/compressed", "/compressedDepth")


@dataclass(frozen=True)
class Streams:
    """The topics of a bag by role; None where the bag has none. depth_camera_info: another than camera_info."""

    rgb: str
    depth: str
    camera_info: str | None
    truth: str | None
    depth_camera_info: str | None = None


def find_streams(reader: BagReader, rgb: str | None = None, depth: str | None = None) -> Streams:
    """The RGB and depth topics of a bag: those named (with or without the leading slash), else found by type.

    Depth is told from RGB by the encoding of the first image (16UC1, 32FC1, mono16, compressedDepth). Where
    several topics fit, colour goes before grey, registered depth before unregistered, raw before compressed,
    then the topic with most messages wins.

    Raises:
        UserError: a named topic is missing or no image, or a stream is not in the bag; the topics present are
            listed.
    """
    named = {"rgb": rgb, "depth": depth}
    chosen = {role: _named(reader, name) for role, name in named.items() if name is not None}
    missing = [role for role in named if role not in chosen]
    encodings = _image_encodings(reader) if missing else {}
    for role in missing:
        fitting = [name for name, e in encodings.items() if (e in _DEPTH_ENCODINGS) == (role == "depth")]
        if not fitting:
            raise UserError(
                f"{reader.path}: the bag has no {role} image topic; it has {_listing(reader)}: record the "
                f"{role} stream as well, or name its topic"
            )
        chosen[role] = min(fitting, key=lambda name: _rank(reader, name, encodings[name]))
    if chosen["rgb"] == chosen["depth"]:
        raise UserError(f"{reader.path}: rgb and depth are both {chosen['rgb']!r}: name two different topics")
    of_rgb, of_depth = (camera_info_beside(reader, chosen[role]) for role in ("rgb", "depth"))
    return Streams(
        chosen["rgb"],
        chosen["depth"],
        of_rgb or _of_type(reader, CAMERA_INFO, near=chosen["rgb"], but=of_depth),
        _of_type(reader, SCENE_TRUTH, near="truth"),
        None if of_depth == of_rgb else of_depth,
    )


def camera_info_beside(reader: BagReader, image: str) -> str | None:
    """The camera_info of an image topic: in the same namespace, as image_transport has it; None where there is none."""
    for suffix in _TRANSPORTS:
        image = image.removesuffix(suffix)
    name = f"{image.rpartition('/')[0]}/camera_info"
    topic = reader.topics.get(name) or reader.topics.get(name.lstrip("/"))
    return topic.name if topic is not None and topic.msgtype == CAMERA_INFO else None


def _rank(reader: BagReader, name: str, encoding: str) -> tuple[bool, bool, bool, int, str]:
    depth = encoding in _DEPTH_ENCODINGS
    topic = reader.topics[name]
    return (
        encoding in ("mono16", "mono8"),
        depth and not any(word in name for word in _REGISTERED),
        topic.msgtype != IMAGE,
        -topic.count,
        name,
    )


def _image_encodings(reader: BagReader) -> dict[str, str]:
    """Encoding of the first message of every image topic that has one."""
    encodings = {}
    for topic in reader.topics.values():
        if topic.msgtype in _IMAGE_TYPES and topic.count:
            first = next(reader.messages([topic.name]))
            encodings[topic.name] = message_encoding(deserialize(first.data, first.msgtype))
    return encodings


def _named(reader: BagReader, name: str) -> str:
    found = next((t for t in reader.topics if t.lstrip("/") == name.lstrip("/")), None)
    if found is None:
        raise UserError(f"{reader.path}: the bag has no topic {name!r}; it has {_listing(reader)}")
    msgtype = reader.topics[found].msgtype
    if msgtype not in _IMAGE_TYPES:
        raise UserError(f"{reader.path}: topic {found} holds {msgtype}: name an Image or CompressedImage topic")
    return found


def _of_type(reader: BagReader, msgtype: str, near: str, but: str | None = None) -> str | None:
    """The topic of that type, other than ``but``, whose name begins most like ``near``."""

    def shared(name: str) -> int:
        parts = zip(name.strip("/").split("/"), near.strip("/").split("/"))
        return next((i for i, (x, y) in enumerate(parts) if x != y), 99)

    names = sorted(t.name for t in reader.topics.values() if t.msgtype == msgtype and t.name != but)
    return max(names, key=shared, default=None)


def _listing(reader: BagReader) -> str:
    topics = sorted(reader.topics.values(), key=lambda t: t.name)
    return ", ".join(f"{t.name} ({t.msgtype})" for t in topics)
