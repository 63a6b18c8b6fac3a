"""What scene_classifier said, where a bag has its topic ``~/scene``."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import header_stamp_ns

SCENE_CLASS = "edgevl/msg/SceneClass"
SCENE_CLASS_DEFINITION = """\
std_msgs/Header header
string label
float32 confidence
bool known
string[] labels
float32[] scores
string modality
string bundle_id
uint32 label_set_version
float32 latency_ms
"""
"""The fields of msg/SceneClass.msg (a test keeps them equal)."""


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
                scene: Any = _store().deserialize_cdr(message.data, SCENE_CLASS)
            except Exception:
                continue
            found.append(Scene(header_stamp_ns(scene), scene.label if scene.known else "unknown"))
    return found


@functools.cache
def _store() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(SCENE_CLASS_DEFINITION, SCENE_CLASS))
    return store
