"""The image topics of a bag, by what their messages say: colour, grey or depth, and of which camera."""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from edgevl_core.camera.images import message_encoding
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, BrokenMessage, deserialize

IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
TRANSPORTS = ("", "/compressedDepth", "/compressed")
"""What image_transport appends to a topic's name; of several the first is taken."""
_DEPTH = ("16UC1", "32FC1", "mono16")
_COLOUR = re.compile(r"(rgb|bgr)a?(8|16)|bayer_\w+|yuv\w*|uyvy|yuyv|nv\d+")
_BARE = re.compile(r"(8|16|32|64)[USF]C?\d*")  # numbers that are no colour: label images, vectors, masks
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG")  # JPEG, PNG
_FIRST = 10  # messages looked at: a driver's first one may be broken
_STREAM_WORDS = {
    *("color", "colour", "rgb", "depth", "aligned", "registered", "rect", "rectified", "raw", "image", "images", "to"),
    *("left", "right", "stereo", "ir", "infra", "infra1", "infra2", "mono", "gray", "grey"),
}
_FRAME_WORDS = _STREAM_WORDS | {"optical", "frame", "link", "camera", "sensor"}
_REGISTERED = ("aligned", "registered", "_to_rgb", "_to_color")


@dataclass(frozen=True)
class ImageTopic:
    """An image topic.

    Attributes:
        encoding: of its first readable message; a CompressedImage's format where that says no encoding.
        role: "rgb", "grey", "depth", or "": pixels that are none of these, or no readable message.
        frame_id: the header's.
    """

    name: str
    encoding: str
    role: str
    frame_id: str

    @property
    def base(self) -> str:
        """The name without what image_transport has appended."""
        return base_name(self.name)

    @property
    def transport(self) -> int:
        """0: the raw images; larger: rather not."""
        return TRANSPORTS.index(self.name[len(self.base) :])

    @property
    def registered(self) -> bool:
        return any(word in self.name for word in _REGISTERED)

    @property
    def camera(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What tells cameras from each other: words of the frame_id, and the namespace, without those of a stream."""
        return _family(self.frame_id), self.namespace

    @property
    def namespace(self) -> tuple[str, ...]:
        parts = self.base.strip("/").split("/")[:-1]
        return tuple(part for part in parts if not set(part.split("_")) <= _STREAM_WORDS)


def image_topics(reader: BagReader) -> list[ImageTopic]:
    """All image topics that have messages, by name."""
    names = sorted(t.name for t in reader.topics.values() if t.msgtype in IMAGE_TYPES and t.encoding == CDR and t.count)
    return [image_topic(reader, name) for name in names]


def image_topic(reader: BagReader, name: str) -> ImageTopic:
    """One of them, by its first messages."""
    seen = ImageTopic(name, "unreadable", "", "")
    for message in islice(reader.messages([name]), _FIRST):
        try:
            image = deserialize(message.data, message.msgtype)
        except BrokenMessage:
            continue
        encoding, role = encoding_and_role(image)
        if role:
            return ImageTopic(name, encoding, role, image.header.frame_id)
        if seen.encoding == "unreadable":
            seen = ImageTopic(name, encoding, "", image.header.frame_id)
    return seen


def base_name(name: str) -> str:
    """A topic's name without what image_transport has appended."""
    for suffix in TRANSPORTS[1:]:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def one_camera(a: ImageTopic, b: ImageTopic) -> tuple[int, int]:
    """How surely two topics are of one camera; larger is surer. First by frames: 0 other ones, 1 not known, 2 the same.

    Then by namespaces: how many leading parts they share.
    """
    shared = next((i for i, (x, y) in enumerate(zip(a.namespace, b.namespace)) if x != y), None)
    if shared is None:
        shared = min(len(a.namespace), len(b.namespace))
    if not a.frame_id or not b.frame_id:
        return 1, shared
    return 2 * (a.frame_id == b.frame_id or _family(a.frame_id) == _family(b.frame_id)), shared


def _family(frame_id: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[_/]+", frame_id.lower()) if word and word not in _FRAME_WORDS)


def encoding_and_role(image: Any) -> tuple[str, str]:
    """Encoding (or format) and role of an Image or CompressedImage; see :class:`ImageTopic`."""
    encoding = message_encoding(image)
    shown = encoding
    if hasattr(image, "format") and (not encoding or (_BARE.fullmatch(encoding) and encoding not in _DEPTH)):
        shown, encoding = str(image.format), ""
        original = shown.partition(";")[0].strip()
        bare = _BARE.fullmatch(original) and not original.startswith(("8UC3", "8UC4"))  # colour without an order
        named = any(word in shown.lower() for word in ("jpeg", "jpg", "png"))
        if not bare and (named or bytes(image.data[:4]).startswith(_PICTURES)):
            encoding = "bgr8"
    if encoding in _DEPTH:
        return encoding, "depth"
    if _COLOUR.fullmatch(encoding):
        return shown or encoding, "rgb"
    return shown, "grey" if encoding == "mono8" else ""
