"""Names of topics and services that were given as parameters."""

from collections.abc import Iterable
from contextlib import suppress

from rclpy.node import Node

from edgevl_core.base.errors import UserError
from edgevl_ros.node.parameters import NodeParameters
from edgevl_ros.node.releases import RCLError

NAMES = ("_topic", "_service", "_status")  # how the parameters end that name a topic or a service


def check_name(node: Node, name: str, parameters: NodeParameters) -> None:
    """Refuse what can be no name of a topic or service, by the parameter that gave it.

    Raises:
        UserError: ``node`` cannot resolve the name.
    """
    try:
        node.resolve_topic_name(name)
    except RCLError as error:
        why = str(error).removeprefix("failed to resolve name: ").split(", at /")[0]
        given = {key: value for key, value in vars(parameters).items() if key.endswith(NAMES)}
        named = [f"parameter {key} = " for key, value in given.items() if value == name]
        raise UserError(
            f"{named[0] if named else ''}{name!r}: {why}; accepted: letters, digits and '_', in parts parted by "
            "'/', none of which begins with a digit"
        ) from error


def topics_of(node: Node, declared: Iterable[str]) -> set[str]:
    """Full names of the topics that a node's declared parameters give now, but for names that can be none."""
    found = set()
    for parameter in declared:
        if parameter.endswith("_topic") and (topic := node.get_parameter(parameter).value):
            with suppress(RCLError):
                found.add(node.resolve_topic_name(topic))
    return found
