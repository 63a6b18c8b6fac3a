"""Send every message and call every service of edgevl between two processes over DDS.

``python round_trip.py`` starts the other process itself (``--echo``), prints one JSON object, {type: "ok" or
what came back}, and exits 0. A program rather than a test: it also runs in an environment without pytest.
"""

import json
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

import edgevl.msg
import edgevl.srv
import rclpy
from geometry_msgs.msg import Point, Point32, Polygon
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

# Late joiners still get the message: nobody has to guess when discovery is done.
QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEADLINE_S = 20.0
AGAIN_S = 5.0
LIFETIME_S = 180.0  # of the other process, should this one be killed

VALUES: dict[str, Any] = {
    "boolean": True,
    "string": "Wohnküche “2”",
    "float": 0.375,
    "double": 0.1,
    "int32": -7,
    "uint32": 2**32 - 1,
    "uint64": 2**64 - 1,
    "sequence<string>": ["kitchen", "", "büro"],
    "sequence<float>": [0.5, -1.25, 1e20],
    "sequence<uint64>": [0, 2**64 - 1],
    "geometry_msgs/Point": Point(x=0.1, y=-2.0, z=1e300),
    "geometry_msgs/Polygon": Polygon(points=[Point32(x=0.5, y=-0.25), Point32()]),
}


def types_of(module: ModuleType) -> dict[str, type]:
    """{name: class} of a generated module, without a service's _Request, _Response and _Event."""
    return {name: value for name, value in vars(module).items() if isinstance(value, type) and "_" not in name}


def filled(message_type: type) -> Any:
    """A message with a value in every field."""
    message = message_type()
    for field, kind in message_type.get_fields_and_field_types().items():
        if kind == "std_msgs/Header":
            value = Header(frame_id="camera_optical_frame")
            value.stamp.sec, value.stamp.nanosec = 1_700_000_000, 999_999_999
        elif kind.startswith("edgevl/"):
            value = filled(getattr(edgevl.msg, kind.removeprefix("edgevl/")))
        elif kind == "sequence<edgevl/Room>":
            value = [filled(edgevl.msg.Room), edgevl.msg.Room()]
        else:
            value = VALUES[kind]
        setattr(message, field, value)
    return message


def echo() -> None:
    """Send back what comes on in/<type> on out/<type>; answer a service with the request as text."""
    node = rclpy.create_node("echo")
    for name, message_type in types_of(edgevl.msg).items():
        publisher = node.create_publisher(message_type, f"out/{name}", QOS)
        node.create_subscription(message_type, f"in/{name}", publisher.publish, QOS)

    def answer(request: Any, response: Any) -> Any:
        response = filled(type(response))
        response.message = str(request)
        return response

    for name, service_type in types_of(edgevl.srv).items():
        node.create_service(service_type, name, answer)
    end = time.monotonic() + LIFETIME_S
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=1.0)


def message_round_trip(node: Node, name: str, message_type: type) -> str:
    sent, received = filled(message_type), []
    node.create_subscription(message_type, f"out/{name}", received.append, QOS)
    node.create_publisher(message_type, f"in/{name}", QOS).publish(sent)
    deadline = time.monotonic() + DEADLINE_S
    while not received and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    if not received:
        return "nothing came back"
    return "ok" if received[0] == sent else f"sent {sent}, received {received[0]}"


def service_round_trip(node: Node, name: str, service_type: Any) -> str:
    client = node.create_client(service_type, name)
    if not client.wait_for_service(timeout_sec=DEADLINE_S):
        return "the service did not appear"
    request, expected = filled(service_type.Request), filled(service_type.Response)
    expected.message = str(request)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        # Again: a server that has not found the client's side for answers yet drops its answer.
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=AGAIN_S)
        if future.done():
            return "ok" if future.result() == expected else f"expected {expected}, received {future.result()}"
    return "no answer"


def main() -> None:
    """Run the other process, do every round trip, print the results, end the other process."""
    other = subprocess.Popen([sys.executable, __file__, "--echo"])
    try:
        node = rclpy.create_node("round_trip")
        results = {f"msg/{name}": message_round_trip(node, name, t) for name, t in types_of(edgevl.msg).items()}
        results |= {f"srv/{name}": service_round_trip(node, name, t) for name, t in types_of(edgevl.srv).items()}
        print(json.dumps(results))
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    rclpy.init()
    echo() if "--echo" in sys.argv else main()
    rclpy.shutdown()
