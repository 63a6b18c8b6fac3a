"""metadata.yaml of a rosbag2 directory.

Format version 5 is the newest that every release from Humble on reads: version 6 and later add fields that
Humble does not know, and version 9 changes how the QoS is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

METADATA_NAME = "metadata.yaml"
_VERSION = 5


def _qos(depth: int, reliability: int, durability: int) -> str:
    zero = "{sec: 0, nsec: 0}"
    return (
        f"- {{history: 1, depth: {depth}, reliability: {reliability}, durability: {durability}, "
        f"deadline: {zero}, lifespan: {zero}, liveliness: 1, liveliness_lease_duration: {zero}, "
        "avoid_ros_namespace_conventions: false}"
    )


QOS_PROFILES = {
    "sensor": _qos(depth=5, reliability=2, durability=2),
    "reliable": _qos(depth=10, reliability=1, durability=2),
    "latched": _qos(depth=1, reliability=1, durability=1),
}
"""The QoS that ``ros2 bag play`` offers for a topic: rmw's numbers (reliability 1 reliable, 2 best effort;
durability 1 transient local, 2 volatile)."""


@dataclass
class SegmentInfo:
    """What one segment file holds; times are log times in nanoseconds, both zero while it is empty."""

    name: str
    start_ns: int = 0
    end_ns: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        return sum(self.counts.values())

    def add(self, topic: str, stamp_ns: int) -> None:
        empty = not self.counts
        self.start_ns = stamp_ns if empty else min(self.start_ns, stamp_ns)
        self.end_ns = stamp_ns if empty else max(self.end_ns, stamp_ns)
        self.counts[topic] = self.counts.get(topic, 0) + 1


def metadata_yaml(topics: Sequence[tuple[str, str, str]], segments: Sequence[SegmentInfo]) -> bytes:
    """The text of metadata.yaml for MCAP segments.

    Args:
        topics: (name, message type, QoS profile text) of every topic.
        segments: in the order they were written.
    """
    filled = [s for s in segments if s.messages]
    start_ns = min((s.start_ns for s in filled), default=0)
    end_ns = max((s.end_ns for s in filled), default=0)
    information: dict[str, Any] = {
        "version": _VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": end_ns - start_ns},
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "message_count": sum(s.messages for s in segments),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": name,
                    "type": msgtype,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": qos,
                },
                "message_count": sum(s.counts.get(name, 0) for s in segments),
            }
            for name, msgtype, qos in topics
        ],
        "compression_format": "",  # MCAP compresses its own chunks: for rosbag2 the files are plain
        "compression_mode": "",
        "relative_file_paths": [s.name for s in segments],
        "files": [
            {
                "path": s.name,
                "starting_time": {"nanoseconds_since_epoch": s.start_ns},
                "duration": {"nanoseconds": s.end_ns - s.start_ns},
                "message_count": s.messages,
            }
            for s in segments
        ],
    }
    text: str = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False, width=1000)
    return text.encode()
