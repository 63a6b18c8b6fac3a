"""Parameter overrides that would reach nobody, which rcl passes over in silence: found, and told.

A file that cannot be read ends the node. A section of no node and a name that no parameter has are sentences for the
log and the diagnostics: the node runs on, perhaps without the privacy or the disk budget that was meant.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from edgevl_core.base.errors import UserError

# Taken by rclpy itself, some of them without being declared on every release.
OF_RCLPY = ("use_sim_time", "start_type_description_service", "enable_logger_service")
QOS_OVERRIDES = "qos_overrides."
# Topics of rclpy's own, which each node has.
TOPICS_OF_RCLPY = ("/clock", "/parameter_events", "/rosout")
# How much alike (difflib's ratio) a name in a section for all nodes must be to one of ours to be taken for it.
ALIKE = 0.8
SECTION = "ros__parameters"
# What launch_ros writes for the dictionaries of one node; the section in it may be /**.
FROM_LAUNCH = "launch_params_"

Sections = Mapping[str, frozenset[str]]


class _Loader(yaml.SafeLoader):
    """Safe, and takes the Python tuples as which launch_ros writes lists; rcl takes them, too."""


def _as_list(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _as_list)


def parameter_files(argv: Sequence[str]) -> list[Path]:
    """The files given with --params-file among a command line's ROS arguments."""
    files, ros = [], False
    for word, following in zip(argv, [*argv[1:], ""]):
        ros = word == "--ros-args" or (ros and word != "--")
        if ros and word == "--params-file" and following:
            files.append(Path(following))
    return files


def read_sections(path: Path) -> Sections:
    """The sections of a parameter file, by the node's name as it stands there, and the names in each.

    Raises:
        UserError: it cannot be read, or is no YAML.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(
            f"params file {path} cannot be read ({error.strerror}): give a file of parameters (YAML), such as "
            "config/robot.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"params file {path} is no YAML: {error}") from error
    return dict(_sections(content, ""))


def _sections(content: Any, node: str) -> Iterator[tuple[str, frozenset[str]]]:
    if not isinstance(content, dict):
        return
    for key, inside in content.items():
        if key == SECTION:
            yield node, frozenset(_names(inside, ""))
        else:
            yield from _sections(inside, f"{node}/{str(key).strip('/')}")


def _names(content: Any, prefix: str) -> Iterator[str]:
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def is_meant(section: str, node: str) -> bool:
    """Whether a section is for the node of this full name, by rcl's rules: * is one name, ** any number of them."""
    any_number, one = r"(/\w+)*", r"/\w+"
    tokens = section.strip("/").split("/")
    pattern = "".join(any_number if t == "**" else one if t == "*" else "/" + re.escape(t) for t in tokens)
    return re.fullmatch(pattern, node) is not None


def doubts(
    node: str,
    overrides: Collection[str],
    declared: Collection[str],
    topics: Collection[str],
    files: Mapping[Path, Sections],
) -> list[str]:
    """What of the overrides has no effect, one sentence each.

    Args:
        node: full name.
        overrides: names that rcl has for it.
        declared: names of its parameters.
        topics: full names of the topics that its parameters give.
        files: the parameter files given.
    """
    name = node.rpartition("/")[2]
    for_all, found = set(), []
    for path, sections in files.items():
        if not sections:
            found.append(f"params file {path} holds no parameters")
        mine = [section for section in sections if is_meant(section, node)]
        if not path.name.startswith(FROM_LAUNCH):
            for_all |= {one for section in mine if section.endswith("*") for one in sections[section]}
        for_all -= {one for section in mine if not section.endswith("*") for one in sections[section]}
        leaves = {section.rpartition("/")[2]: section for section in sections}
        if not any(not section.endswith("*") for section in mine) and (
            alike := difflib.get_close_matches(name, leaves, 1, ALIKE)
        ):
            found.append(
                f"params file {path} has nothing for {node}, but a section {leaves[alike[0]]}, which is another node: "
                f"name it /**/{name}"
            )
    found += _qos_doubts(name, overrides, declared, topics, for_all)
    for override in sorted(overrides):
        if override in declared or override in OF_RCLPY or override.startswith(QOS_OVERRIDES):
            continue
        # A section for all nodes may well name what others have; what resembles ours is taken for a slip of the pen.
        nearest = difflib.get_close_matches(override, declared, 1, ALIKE if override in for_all else 0.0)
        if nearest:
            found.append(
                f"parameter {override} is unknown to {name} and has no effect: the nearest name is {nearest[0]}"
            )
    return found


def _qos_doubts(
    name: str,
    overrides: Collection[str],
    declared: Collection[str],
    topics: Collection[str],
    for_all: Collection[str],
) -> Iterator[str]:
    """QoS overrides, which our nodes take for no topic: they have parameters of their own."""
    policies = defaultdict(list)
    for override in sorted(overrides):
        topic, _, policy = override.removeprefix(QOS_OVERRIDES).partition(".")
        others = topic in TOPICS_OF_RCLPY or (override in for_all and topic not in topics)
        if override.startswith(QOS_OVERRIDES) and not others:
            policies[topic].append(policy)
    instead = " and ".join(known for known in ("qos_reliability", "qos_depth") if known in declared)
    for topic, given in policies.items():
        fix = f"set {instead}" if instead else "leave it out"
        yield f"qos_overrides of {topic} ({', '.join(given)}) has no effect on {name}: {fix}"
