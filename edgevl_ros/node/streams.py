"""Subscriptions to serialised messages: counted, with QoS mismatches noticed, nothing deserialised."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from edgevl_core.base.counters import StreamCount
from edgevl_core.base.errors import UserError
from edgevl_core.pairing.clock import StampCheck
from edgevl_core.pairlog import types
from edgevl_core.pairlog.cdr_header import stamp_ns
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import StreamParameters, stream_qos
from edgevl_ros.node.releases import SubscriptionEventCallbacks, publishers_of

# image_transport names its compressed topics so; the names are the only sign of the type before the
# first message.
COMPRESSED_SUFFIXES = ("/compressed", "/compressedDepth")

TYPE_NAMES = {Image: "sensor_msgs/msg/Image", CompressedImage: "sensor_msgs/msg/CompressedImage"}


def image_type(topic: str) -> type:
    """Image, or CompressedImage where the topic's name ends as image_transport's compressed topics do."""
    kind: type = CompressedImage if topic.endswith(COMPRESSED_SUFFIXES) else Image
    return kind


def view(cdr: bytes, topic: str) -> Any:
    """The image message received on ``topic``: the fields of the ROS type, ``data`` a read-only view of ``cdr``.

    Raises:
        BrokenMessage: the bytes are none.
    """
    return types.deserialize(cdr, TYPE_NAMES[image_type(topic)])


class RawStream:
    """One subscription, until deactivation; ``callback(stamp_ns, cdr)`` gets the stamp and the bytes.

    Its counts can be asked for afterwards too. The QoS comes from the node's parameters ``qos_reliability`` and
    ``qos_depth``.

    Args:
        stamp_of: a serialised message -> its stamp in nanoseconds. Raises ValueError where it has none.

    Attributes:
        count: what was received.
        unreadable: how many of these were too short to hold a header; ``callback`` does not get them.
    """

    def __init__(
        self,
        node: ManagedNode[StreamParameters],
        kind: type,
        topic: str,
        callback: Callable[[int, bytes], None],
        stamp_of: Callable[[bytes], int] = stamp_ns,
    ) -> None:
        self.topic = topic
        self._stamp_of = stamp_of
        self.count = StreamCount()
        self.unreadable = 0
        self._stamps = StampCheck()
        self._node = node
        self._callback = callback
        self._mismatch = ""
        self._kind = kind
        qos = stream_qos(node.parameters.qos_reliability, node.parameters.qos_depth)
        events = SubscriptionEventCallbacks(incompatible_qos=node.guarded(self._on_incompatible_qos))
        self._subscription = node.add_subscription(kind, topic, self._on_message, qos, event_callbacks=events, raw=True)
        node.subscriptions_end.callback(self._end)

    def _end(self) -> None:
        self._subscription = None

    def _on_message(self, cdr: bytes) -> None:
        self.count.add(len(cdr), time.monotonic())
        try:
            at_ns = self._stamp_of(cdr)
        except ValueError as error:
            self.unreadable += 1
            raise UserError(f"{self.topic}: {error}: look at what publishes it") from error
        self._stamps.add(at_ns)
        self._callback(at_ns, cdr)

    def _on_incompatible_qos(self, event: object) -> None:
        self._mismatch = (
            f"{self.topic}: a publisher offers less than this node requests "
            f"(qos_reliability {self._node.parameters.qos_reliability}): set qos_reliability to best_effort"
        )
        self._node.get_logger().warning(self._mismatch)

    def problem(self) -> str:
        """Why nothing arrives, or nothing that can be paired: silence, stamps that stand still. Empty: all is well."""
        if self._subscription is None:
            return ""  # the node is not active, and says so
        if self._mismatch and not self.count.received:
            return self._mismatch
        age_s = self.count.age_s(time.monotonic())
        if self.count.received:
            if age_s > 2.0:
                return f"{self.topic}: silent for {age_s:.0f} s"
            stamps = self._stamps.problem()
            return f"{self.topic}: {stamps}" if stamps else ""
        publishers = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        kinds = {info.topic_type for info in publishers}
        if not publishers:
            return f"{self.topic}: nobody publishes it"
        if kinds and TYPE_NAMES.get(self._kind) not in {None, *kinds}:
            return f"{self.topic}: published as {', '.join(sorted(kinds))}, expected {TYPE_NAMES[self._kind]}"
        return f"{self.topic}: nothing received yet"

    def _publishers(self) -> int:
        return 0 if self._subscription is None else publishers_of(self._node, self._subscription)

    def values(self, name: str) -> dict[str, object]:
        """Counts for diagnostics, keys ending in ``name``; ``<name>_unreadable`` where there are such."""
        now_s = time.monotonic()
        unreadable = {f"{name}_unreadable": self.unreadable} if self.unreadable else {}
        return {
            **unreadable,
            f"publishers_{name}": self._publishers(),
            f"received_{name}": self.count.received,
            f"rate_{name}_hz": self.count.rate_hz(now_s),
            f"age_{name}_s": self.count.age_s(now_s),
        }


def values_of(streams: Mapping[str, RawStream]) -> dict[str, object]:
    """The counts of several streams by name, for diagnostics."""
    return {key: value for name, stream in streams.items() for key, value in stream.values(name).items()}
