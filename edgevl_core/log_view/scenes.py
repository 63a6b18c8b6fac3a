"""What scene_classifier said, where a bag has its topic ``~/scene``."""

from dataclasses import dataclass
from pathlib import Path

from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import SCENE_CLASS, BrokenMessage, deserialize, header_stamp_ns


@dataclass(frozen=True)
class Scene:
    """One answer; ``label`` is "unknown" where it was not known."""

    stamp_ns: int
    label: str


def read_scenes(bag: Path) -> list[Scene]:
    """In the order of their recording; none where there is no such topic, and of broken messages.

    Raises:
        UserError: there is no such bag.
    """
    found = []
    with BagReader(bag) as reader:
        names = [
            name for name, topic in reader.topics.items() if topic.msgtype == SCENE_CLASS and topic.encoding == CDR
        ]
        for message in reader.messages(names) if names else ():
            try:
                scene = deserialize(message.data, SCENE_CLASS)
            except BrokenMessage:
                continue
            found.append(Scene(header_stamp_ns(scene), scene.label if scene.known else "unknown"))
    return found
