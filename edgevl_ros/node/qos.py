"""Quality of service: REP-2003 sensor data by default, overridable by parameters; latched status topics."""

from dataclasses import dataclass

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from edgevl_ros.node.parameters import NodeParameters, parameter

# Transient local: a viewer that starts later still gets the last status.
LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# A topic with a latched message from each of several publishers, such as /tf_static: all of them come at once.
LATCHED_OF_MANY = QoSProfile(
    depth=100,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

RESULT_DEPTH = 10


@dataclass(frozen=True)
class StreamParameters(NodeParameters):
    """Of a node that subscribes to images."""

    qos_reliability: str = parameter(
        "best_effort",
        "of the image subscriptions; best_effort matches every publisher, reliable only reliable ones",
        choices=("best_effort", "reliable"),
    )
    qos_depth: int = parameter(10, "messages each image subscription may queue", low=1, high=1000)


def stream_qos(reliability: str, depth: int) -> QoSProfile:
    """Keep the last ``depth`` messages, volatile; ``reliability`` is "best_effort" or "reliable"."""
    reliable = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=reliable)


# Of what is worth nothing once there is something newer; best-effort subscribers match as well.
NEWEST = stream_qos("reliable", 1)


def result_qos() -> QoSProfile:
    """Small results: reliable, so that both reliable and best-effort subscribers match."""
    return stream_qos("reliable", RESULT_DEPTH)
