"""YAML as people write it, or somebody else: safe types only, within limits.

A key that is given twice is a fault, not silently the last one.
"""

import re
from typing import Any

import yaml

_DEEPEST = 50
_MOST_REPEATED = 100_000


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Looked at here, as written: merge keys (``<<``) are unfolded later, and may be overridden."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, Any]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice: keep one of them", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add((key.tag, key.value))
        return node

    def get_single_node(self) -> Any:
        """A few lines of aliases and merge keys, each of the line before, can stand for any number of values."""
        node = super().get_single_node()
        sizes: dict[int, int] = {}
        if node is not None and _unfolded(node, sizes) - len(sizes) > _MOST_REPEATED:
            raise yaml.YAMLError(f"its aliases (*) stand for more than {_MOST_REPEATED} values: write fewer")
        return node


def load_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises:
        yaml.YAMLError: it is none, or gives a key of a mapping twice; more than 50 brackets stand inside each other; or
            aliases and merge keys repeat more than 100,000 values, or a value that holds itself.
    """
    if _depth(text) > _DEEPEST:  # the library takes long to find out
        raise yaml.YAMLError(f"more than {_DEEPEST} brackets stand inside each other")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise yaml.YAMLError("too many values stand inside each other") from error
    except Exception as error:  # values such as the date 9999-99-99 make the library raise anything
        raise yaml.YAMLError(f"a value in it cannot be read ({type(error).__name__}: {error})") from error


def _depth(text: str) -> int:
    """How many brackets stand inside each other."""
    depth = deepest = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unfolded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Values in ``node``, those behind aliases as often as they are named; ``sizes``: of the nodes that are known."""
    if id(node) not in sizes:
        sizes[id(node)] = 10 * _MOST_REPEATED  # seen again before it is known: it holds itself
        inside = () if isinstance(node, yaml.ScalarNode) else node.value
        each = (part for entry in inside for part in (entry if isinstance(entry, tuple) else (entry,)))
        sizes[id(node)] = 1 + sum(_unfolded(part, sizes) for part in each)
    return sizes[id(node)]
