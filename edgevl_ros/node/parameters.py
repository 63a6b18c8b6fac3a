"""A node's parameters as one frozen dataclass: declared and read by its fields, every fault reported in one line."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from edgevl_core.base.errors import UserError

SINGLE_THREADED, EVENTS = "single_threaded", "events"
Value = bool | int | float | str | tuple[str, ...]

IN_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number with a decimal point",
    str: "a string",
    tuple: "a list of strings",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node, as :func:`table` gives it.

    The type of ``default`` is the accepted type (a tuple: an array of strings).

    Attributes:
        low, high: inclusive range of a number (both or none).
        choices: the accepted values of a string; empty: any.
        read_only: fixed when the node starts; the others may be changed while the node is unconfigured.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False


T = TypeVar("T")


def parameter(
    default: T,
    description: str,
    low: float | None = None,
    high: float | None = None,
    *,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> T:
    """A field of a dataclass of parameters, described as a :class:`Parameter` is."""
    described = {"description": description, "low": low, "high": high, "choices": choices, "read_only": read_only}
    return field(default=default, metadata=described)


@dataclass(frozen=True)
class NodeParameters:
    """What every node has; those of one node derive from it. Without arguments: the defaults."""

    autostart: bool = parameter(True, "activate at start; false: wait for lifecycle requests", read_only=True)
    stay_when_refused: bool = parameter(
        False,
        "where parameters or a bundle are refused at start: true: stay, unconfigured, with the reason in the "
        "diagnostics; false: end with exit code 2",
        read_only=True,
    )
    executor: str = parameter(
        SINGLE_THREADED,
        f"what calls the node back: {EVENTS} is rclpy's experimental one, which takes less of the processor",
        choices=(SINGLE_THREADED, EVENTS),
        read_only=True,
    )

    def path(self, name: str) -> Path:
        """The value of the parameter ``name`` as a path, ``~`` and ``~user`` expanded.

        Raises:
            UserError: this machine knows no such home directory.
        """
        return _expanded(name, getattr(self, name))

    def paths(self, name: str) -> tuple[Path, ...]:
        """As ``path``, of a list."""
        return tuple(_expanded(name, value) for value in getattr(self, name))


def _expanded(name: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"parameter {name} = {value!r}: this machine knows no such home directory: write the whole path"
        ) from error


@dataclass(frozen=True)
class TrustParameters(NodeParameters):
    """Of the nodes that load bundles."""

    # Read-only: whoever reaches the graph must not be able to switch it off.
    trust: tuple[str, ...] = parameter(
        (), "public keys, one of which must have signed a bundle; empty or unsigned: any bundle", read_only=True
    )


P = TypeVar("P", bound=NodeParameters)


def table(kind: type[NodeParameters]) -> tuple[Parameter, ...]:
    """The parameters of a node, one row each."""
    return tuple(Parameter(row.name, getattr(kind, row.name), **row.metadata) for row in fields(kind))


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """The ROS descriptor of a parameter: description, range, accepted values, read-only flag."""
    message = ParameterDescriptor(
        name=parameter.name,
        description=parameter.description,
        additional_constraints="one of " + ", ".join(parameter.choices) if parameter.choices else "",
        read_only=parameter.read_only,
        # An empty list has no type on the command line or in YAML; `value_of` checks arrays instead.
        dynamic_typing=isinstance(parameter.default, tuple),
    )
    if parameter.low is not None and parameter.high is not None:
        if isinstance(parameter.default, float):
            limits = FloatingPointRange(from_value=float(parameter.low), to_value=float(parameter.high))
            message.floating_point_range = [limits]
        else:
            limits = IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high), step=1)
            message.integer_range = [limits]
    return message


def accepted(parameter: Parameter) -> str:
    """What a parameter accepts, in words, for an error message."""
    if parameter.choices:
        return "one of " + ", ".join(parameter.choices)
    words = IN_WORDS[type(parameter.default)]
    return words if parameter.low is None else f"{words} from {parameter.low} to {parameter.high}"


def from_text(name: str, text: str, kind: type[Value]) -> Value:
    """A launch argument's text as a parameter of type str, float, bool or tuple (a YAML list, or one item of it).

    Raises:
        UserError: the text is not of that type.
    """
    value: Any
    try:
        # In a list of words `no` and `1.0` are words, which plain YAML would read otherwise.
        loader = yaml.BaseLoader if kind is tuple else yaml.SafeLoader
        value = float(text) if kind is float else text if kind is str else yaml.load(text, loader)
    except (ValueError, yaml.YAMLError):
        value = None
    if kind is tuple and value is not None and not isinstance(value, dict):
        value = tuple(str(item) for item in (value if isinstance(value, list) else [value]))
    if not isinstance(value, kind):
        raise UserError(f"{name}:={text}: accepted: {'a number' if kind is float else IN_WORDS[kind]}")
    return value


def declare(node: Node, kind: type[NodeParameters]) -> None:
    """Declare a node's parameters on it; overrides from the command line and parameter files apply.

    Raises:
        UserError: an override has the wrong type or lies outside its range; all such faults in one line.
    """
    faults = []
    for row in table(kind):
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        try:
            node.declare_parameter(row.name, default, descriptor(row))
        except ParameterException as error:
            faults.append(f"parameter {row.name}: {error}; accepted: {accepted(row)}")
    if faults:
        raise UserError(" | ".join(faults))


def read(node: Node, kind: type[P]) -> P:
    """The current values, arrays as tuples without empty strings.

    Raises:
        UserError: a string that is none of its choices, or an array that holds other things than strings.
    """
    values: dict[str, Any] = {}
    faults = []
    for row in table(kind):
        value = node.get_parameter(row.name).value
        if isinstance(row.default, tuple):
            items = [] if value is None else [value] if isinstance(value, str) else list(value)
            if not all(isinstance(item, str) for item in items):
                faults.append(f"parameter {row.name} = {value!r}: accepted: {accepted(row)}")
                continue
            value = tuple(item for item in items if item)
        if row.choices and value not in row.choices:
            faults.append(f"parameter {row.name} = {value!r}: accepted: {accepted(row)}")
            continue
        values[row.name] = value
    if faults:
        raise UserError(" | ".join(faults))
    return kind(**values)
