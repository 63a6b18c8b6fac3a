"""A look at the running graph: edgevl's nodes, who hears whom, and what the cameras send."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.qos import QoSCompatibility, qos_check_compatible

from edgevl_core.base.findings import Finding
from edgevl_core.camera.registration import Status, parse_registration
from edgevl_core.watch.heard import NODES
from edgevl_ros.doctor.cameras import CameraCheck
from edgevl_ros.node.client import Client

LISTENERS = ("pair_logger", "scene_classifier", "label_overlay", "room_mapper")
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
DISCOVERY_S, MOST_DISCOVERY_S = 2.0, 10.0
ALIGN = (
    "let the driver align depth to colour, and log that topic (RealSense: align_depth.enable:=true), or give both "
    "camera_info_topic and depth_camera_info_topic"
)
ANSWER_S = 5.0


class Endpoint(NamedTuple):
    """A publisher or subscription: full name of its node, message type, QoS."""

    node: str
    kind: str
    qos: Any


def inspect(rgb_topic: str, depth_topic: str, seconds: float) -> Iterator[Finding]:
    """Findings about the graph that this process can see.

    Args:
        rgb_topic, depth_topic: camera topics to listen to; empty: those that edgevl's nodes subscribe to.
        seconds: how long.
    """
    client = Client("edgevl_doctor")
    try:
        ours = {full: name for full, name in _discovered(client).items() if name in NODES}
        if not ours:
            yield Finding(
                None, "no edgevl node is running that this process can see", "start one; is ROS_DOMAIN_ID the same?"
            )
        yield from _states(client, ours)
        yield from _reports(client, ours)
        publishers, subscriptions = _endpoints(client)
        yield from _connections(publishers, subscriptions, ours)
        given = {"rgb": rgb_topic, "depth": depth_topic}
        topics = {topic for topic in given.values() if topic}
        if len(topics) < len(given):
            topics |= _asked_for(subscriptions, ours)
        checks = {
            topic: CameraCheck(client, topic, publishers[topic][0].kind)
            for topic in sorted(topics)
            if publishers.get(topic)
        }
        for topic in given.values():
            if topic and topic not in checks:
                yield Finding(False, f"{topic}: nobody publishes it", _image_topics(publishers))
        if checks:
            client.spin(seconds)
            cameras = _cameras(given, checks)
            for role, check in cameras.items():
                yield from check.findings(seconds, role)
            if len(cameras) == 2:
                yield cameras["rgb"].skew_to(cameras["depth"])
    finally:
        client.close()


def _discovered(client: Client) -> dict[str, str]:
    """All nodes' names by full name, once none has come or gone for a while: on a busy machine they come late."""
    seen: dict[str, str] = {}
    changed_s = begin_s = time.monotonic()

    def settled() -> bool:
        nonlocal seen, changed_s
        found = client.node.get_node_names_and_namespaces()
        nodes = {f"{namespace.rstrip('/')}/{name}": name for name, namespace in found}
        now_s = time.monotonic()
        if nodes != seen:
            seen, changed_s = nodes, now_s
        return now_s - changed_s > DISCOVERY_S or now_s - begin_s > MOST_DISCOVERY_S

    client.until(settled, "the nodes", MOST_DISCOVERY_S + ANSWER_S)
    return seen


def _states(client: Client, ours: Mapping[str, str]) -> Iterator[Finding]:
    for full in ours:
        try:
            state = client.call(GetState, f"{full}/get_state", ANSWER_S).current_state
        except TimeoutError:
            yield Finding(False, f"{full} does not answer", "look at its log; is it busy, or gone?")
            continue
        active = state.id == State.PRIMARY_STATE_ACTIVE
        steps = "configure, then activate" if state.id == State.PRIMARY_STATE_UNCONFIGURED else "activate"
        yield Finding(active, f"{full} is {state.label}", "" if active else f"ros2 lifecycle set {full} {steps}")


def _reports(client: Client, ours: Mapping[str, str]) -> Iterator[Finding]:
    """What the nodes say of themselves on their latched statistics."""
    topics = [(full, f"{full}/{'status' if name == 'bag_player' else 'stats'}") for full, name in ours.items()]
    latest = {full: client.watch(DiagnosticStatus, topic) for full, topic in topics}
    client.spin(DISCOVERY_S)
    for full, seen in latest.items():
        report = seen()
        said = {} if report is None else {pair.key: pair.value for pair in report.values}
        registration = parse_registration(said.get("registered", ""))
        if registration.status is Status.NO:
            yield Finding(None, f"{full}: depth is not registered to RGB: {registration.reason}", ALIGN)
        if report is not None and report.level != DiagnosticStatus.OK:
            error = report.level == DiagnosticStatus.ERROR
            topic = dict(topics)[full]
            fix = f"ros2 topic echo --once --qos-durability transient_local {topic} tells more, and so does its log"
            yield Finding(False if error else None, f"{full}: {report.message}", fix)


def _endpoints(client: Client) -> tuple[dict[str, list[Endpoint]], dict[str, list[Endpoint]]]:
    """Publishers and subscriptions by topic, but for this process's own."""

    def of(infos: Any) -> list[Endpoint]:
        found = [
            Endpoint(f"{info.node_namespace.rstrip('/')}/{info.node_name}", info.topic_type, info.qos_profile)
            for info in infos
        ]
        return [endpoint for endpoint in found if endpoint.node != client.node.get_fully_qualified_name()]

    topics = [name for name, _ in client.node.get_topic_names_and_types()]
    return (
        {topic: of(client.node.get_publishers_info_by_topic(topic)) for topic in topics},
        {topic: of(client.node.get_subscriptions_info_by_topic(topic)) for topic in topics},
    )


def _connections(
    publishers: Mapping[str, list[Endpoint]], subscriptions: Mapping[str, list[Endpoint]], ours: Mapping[str, str]
) -> Iterator[Finding]:
    """Subscriptions of edgevl's nodes that hear nobody, and why."""
    for topic, listeners in subscriptions.items():
        for listener in listeners:
            if ours.get(listener.node) not in LISTENERS:
                continue
            senders = publishers.get(topic, [])
            if not senders and listener.kind in IMAGES:
                yield Finding(
                    False, f"{listener.node} listens to {topic}: nobody publishes it", _image_topics(publishers)
                )
            for sender in senders:
                if sender.kind != listener.kind:
                    yield Finding(
                        False,
                        f"{topic}: {sender.node} publishes {sender.kind}, {listener.node} expects {listener.kind}",
                        "correct the topic's name: compressed topics end in /compressed or /compressedDepth",
                    )
                    continue
                verdict, reason = qos_check_compatible(sender.qos, listener.qos)
                if verdict == QoSCompatibility.ERROR:
                    yield Finding(
                        False,
                        f"{topic}: the QoS of {sender.node} and {listener.node} do not match ({reason.strip()})",
                        f"set qos_reliability of {listener.node} to best_effort",
                    )


def _image_topics(publishers: Mapping[str, list[Endpoint]]) -> str:
    images = sorted(topic for topic, senders in publishers.items() if any(s.kind in IMAGES for s in senders))
    if not images:
        return "start the camera: no image topic is published"
    return f"set rgb_topic and depth_topic; image topics here: {', '.join(images)}"


def _asked_for(subscriptions: Mapping[str, list[Endpoint]], ours: Mapping[str, str]) -> set[str]:
    """The image topics that our nodes listen to."""
    return {
        topic
        for topic, listeners in subscriptions.items()
        if any(listener.kind in IMAGES and ours.get(listener.node) in LISTENERS for listener in listeners)
    }


def _cameras(given: Mapping[str, str], checks: Mapping[str, CameraCheck]) -> dict[str, CameraCheck]:
    """The checks by role: that of the topic given, else the first whose images say so."""
    others = [check for topic, check in checks.items() if topic not in given.values()]
    found = {
        role: checks.get(topic) if topic else next((c for c in others if c.is_depth() == (role == "depth")), None)
        for role, topic in given.items()
    }
    return {role: check for role, check in found.items() if check is not None}
