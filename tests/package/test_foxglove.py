"""foxglove/edgevl.json: a layout whose panels all stand in it, and whose topics the nodes publish."""

import ast
import json
from collections.abc import Iterator
from typing import Any

import pytest

from edgevl_build import share
from tests.paths import ROOT

pytestmark = pytest.mark.unit
LAYOUT = json.loads((ROOT / "foxglove/edgevl.json").read_text(encoding="utf-8"))


def published() -> set[str]:
    """The topics of all nodes in the root namespace, as their sources name them."""
    topics = set()
    for file in (ROOT / "edgevl_ros/nodes").glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.add_publisher":
                topic = call.args[1]
                if isinstance(topic, ast.Constant):
                    topics.add(str(topic.value).replace("~", f"/{file.stem}", 1))
    return topics


def named(panel: dict[str, Any]) -> Iterator[str]:
    yield from panel.get("topics", {})
    yield from filter(None, (panel.get("topicPath"), panel.get("imageMode", {}).get("imageTopic")))


def leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        assert node["direction"] in ("row", "column")
        yield from (*leaves(node["first"]), *leaves(node["second"]))


def test_the_layout_names_only_topics_that_nodes_publish() -> None:
    topics = {topic for panel in LAYOUT["configById"].values() for topic in named(panel)}
    assert {"/room_mapper/markers", "/room_mapper/image", "/label_overlay/image", "/scene_classifier/scene"} <= topics
    assert topics <= published(), sorted(topics - published())


def test_every_panel_stands_in_the_layout_once() -> None:
    assert sorted(leaves(LAYOUT["layout"])) == sorted(LAYOUT["configById"])
    assert {name.split("!")[0] for name in LAYOUT["configById"]} == {"3D", "Image", "RawMessages"}
    assert set(LAYOUT) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}


def test_it_is_installed() -> None:
    assert "foxglove" in share.FOLDERS
    assert "foxglove" in (ROOT / "CMakeLists.txt").read_text()
    assert "recursive-include foxglove *" in (ROOT / "MANIFEST.in").read_text().splitlines()
