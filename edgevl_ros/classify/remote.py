"""The base station as scene_classifier reaches it: features out on one topic, embeddings in on another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.signature import trusted_keys
from edgevl_core.classify.model import Model
from edgevl_core.engine import CPU_ONLY, ENGINES
from edgevl_core.offload.halves import load_halves
from edgevl_core.offload.link import Link
from edgevl_core.offload.student import Offload
from edgevl_core.offload.tensor import Header, pack
from edgevl_ros.classify.messages import Heading
from edgevl_ros.classify.parameters import ClassifierParameters
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import NEWEST


@contextmanager
def between_frames(lock: threading.Lock, remote: "RemoteHalf | None") -> Iterator[None]:
    """Hold the lock that is held while a frame is classified; for the executor's thread.

    A frame that waits for the base station's answer, which only this thread can hear, waits no longer.
    """
    while not lock.acquire(timeout=0.01):
        if remote is not None:
            remote.hurry()
    try:
        yield
    finally:
        lock.release()


class RemoteHalf:
    """Publishes ~/features from now on, and listens to the answers while the node is active.

    Raises:
        UserError: the halves are damaged, or the node runs its student otherwise than in ONNX Runtime on the CPU.
    """

    def __init__(self, node: ManagedNode[ClassifierParameters]) -> None:
        parameters = node.parameters
        if parameters.engine != ENGINES[0] or parameters.providers != CPU_ONLY:
            raise UserError(
                f"offload with engine {parameters.engine} and {', '.join(parameters.providers)}: the halves run in "
                f"{ENGINES[0]} with {CPU_ONLY[0]} only: leave engine and providers at their defaults"
            )
        halves = load_halves(parameters.path("offload"), parameters.threads, trusted_keys(parameters.trust))
        self._node, self._id, self._header = node, halves.manifest.split_id, Header(0, "")
        self._features = node.add_publisher(CompressedImage, "~/features", NEWEST)
        self._link = Link(halves.manifest, self._send, parameters.offload_retry_s, node.get_logger().warning)
        self._offload = Offload(halves, self._link, parameters.offload_wait_s)
        self.through, self.values, self.hurry = self._offload.through, self._offload.values, self._link.hurry

    def listen(self) -> None:
        """Until the node is deactivated; call it after the thread was started that asks."""
        receive = self._link.receive
        self._node.add_subscription(CompressedImage, self._node.parameters.offload_topic, receive, NEWEST, raw=True)
        self._node.until_deactivate.callback(self._link.rest)  # runs before the end of the thread that may be waiting

    def begin(self, heading: Heading) -> None:
        """What is sent next is of this frame."""
        self._header = Header(heading.stamp_ns, heading.frame_id)
        self._offload.frame(heading.complete_s)

    def problems(self, model: Model | None) -> list[str]:
        """That the base station could be used by ``model`` and is not; where it cannot, the model says so itself."""
        return [self._link.state] if model is not None and not (model.alone or self._link.using) else []

    def _send(self, number: int, features: NDArray[Any]) -> bool:
        listened_to = bool(self._features.get_subscription_count())
        if listened_to:
            self._features.publish(pack(self._header, self._id, number, features))
        return listened_to
