"""What is not the same in rclpy's releases, or lies in its private parts: nothing else of the package asks for it.

Fast DDS's environment variable, which must be known before ROS 2 is imported, stands in ``dds.py``.
"""

from typing import Any

from rclpy.executors import Executor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ["RCLError", "SubscriptionEventCallbacks", "events_executor", "publishers_of"]

RCLError = rclpy_implementation.RCLError
"""What rcl, below rclpy, refuses."""


def events_executor() -> Executor:
    """The executor that the middleware calls; an experiment of rclpy since Jazzy (7.1.4) and Kilted.

    Raises:
        ImportError: this rclpy has none.
    """
    from rclpy.experimental.events_executor import EventsExecutor

    return EventsExecutor()


def publishers_of(node: Node, subscription: Any) -> int:
    """Publishers that a subscription is matched with; on Humble and Jazzy: that its topic has."""
    if hasattr(subscription, "get_publisher_count"):
        return int(subscription.get_publisher_count())
    return int(node.count_publishers(subscription.topic_name))
