"""Names of topics and services that were given as parameters."""

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from edgevl_core.base.errors import UserError
from edgevl_ros.node.parameters import NodeParameters


def check_name(node: Node, name: str, parameters: NodeParameters) -> None:
    """Refuse what can be no name of a topic or service, by the parameter that gave it.

    Raises:
        UserError: ``node`` cannot resolve the name.
    """
    try:
        node.resolve_topic_name(name)
    except rclpy_implementation.RCLError as error:
        why = str(error).removeprefix("failed to resolve name: ").split(", at /")[0]
        named = [f"parameter {key} = " for key, value in vars(parameters).items() if value == name]
        raise UserError(
            f"{named[0] if named else ''}{name!r}: {why}; accepted: letters, digits and '_', in parts parted by "
            "'/', none of which begins with a digit"
        ) from error
