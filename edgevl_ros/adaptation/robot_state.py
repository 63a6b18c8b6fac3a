"""What adaptation_manager hears from the other nodes: the logger's log, the battery, the classifier's bundle."""

import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from edgevl.msg import LabelSet, LoggerStatus
from rclpy.node import Node
from sensor_msgs.msg import BatteryState

from edgevl_core.adaptation.records import BundleRef
from edgevl_core.adaptation.state import AdaptationState, Heard, heard
from edgevl_core.adaptation.triggers import Seen
from edgevl_ros.adaptation.settings import AdaptationParameters
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import LATCHED, stream_qos

# A battery that has been silent this long says nothing about now.
BATTERY_HOLDS_S = 60.0
ON_DOCK = (BatteryState.POWER_SUPPLY_STATUS_CHARGING, BatteryState.POWER_SUPPLY_STATUS_FULL)


def docked_at(battery: BatteryState) -> float | None:
    """Share of charge 0..1 of a battery that is charging or full; None otherwise, or where it is not measured."""
    on_dock = battery.power_supply_status in ON_DOCK and math.isfinite(battery.percentage)
    return float(battery.percentage) if on_dock else None


def labels_topic(service: str) -> str:
    """The label set of the node that offers ``<node>/load_bundle``."""
    return "/".join([*service.split("/")[:-1], "labels"])


def publisher_ids(node: Node, topic: str) -> list[str]:
    """What DDS calls each publisher of a topic: another one after each start of its process."""
    return sorted(bytes(info.endpoint_gid).hex() for info in node.get_publishers_info_by_topic(topic))


class RobotState:
    """What came last from each of them."""

    def __init__(self) -> None:
        self._battery = (-math.inf, BatteryState())  # when it came
        self._classifier: LabelSet | None = None
        self._told = False  # by it, since news was asked for
        self._publishers: Callable[[], list[str]] = list

    def listen(self, node: ManagedNode[AdaptationParameters], on_logger: Callable[[LoggerStatus], None]) -> None:
        """Subscribe, until the node is deactivated; ``on_logger`` is called with each status of the logger."""
        parameters = node.parameters
        if topic := parameters.logger_status:
            node.add_subscription(LoggerStatus, topic, on_logger, LATCHED)
        if topic := parameters.trigger_battery_topic:  # best effort: matches whatever the driver offers
            node.add_subscription(BatteryState, topic, self._on_battery, stream_qos("best_effort", 1))
        if service := parameters.classifier_service:
            labels = node.add_subscription(LabelSet, labels_topic(service), self._on_classifier, LATCHED)
            self._publishers = partial(publisher_ids, node, labels.topic_name)

    def seen(self, memory: AdaptationState) -> Seen:
        """What the triggers judge by."""
        hours = (time.time() - memory.started_s) / 3600
        came_s, battery = self._battery
        return Seen(
            now=datetime.now().time(),
            new_pairs=memory.pairs.closed,
            docked_at=docked_at(battery) if time.monotonic() - came_s <= BATTERY_HOLDS_S else None,
            since_last_h=hours if hours >= 0 else math.inf,
        )

    def bundle(self, history: Sequence[BundleRef] = ()) -> BundleRef | None:
        """The bundle in the classifier, None where it has none; before it was heard of, the last of ``history``."""
        if self._classifier is None:
            return history[-1] if history else None
        path, bundle_id = self._classifier.bundle_path, self._classifier.bundle_id
        return BundleRef(path=path, id=bundle_id) if bundle_id else None

    def news(self, memory: AdaptationState) -> Heard | None:
        """What follows from what the classifier last said, told once; None: nothing.

        Not told when it comes: who published it may be known a little later only.
        """
        if not self._told or not (publishers := self._publishers()):
            return None
        self._told = False
        return heard(memory, publishers, self.bundle(), time.time())

    def loaded(self, bundle_id: str) -> None:
        """The classifier has answered that it has this bundle: what it said of another before needs no answer."""
        if self._classifier is None or self._classifier.bundle_id != bundle_id:
            self._told = False

    def _on_battery(self, battery: BatteryState) -> None:
        self._battery = (time.monotonic(), battery)

    def _on_classifier(self, label_set: LabelSet) -> None:
        self._classifier, self._told = label_set, True
