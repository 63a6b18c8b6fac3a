"""config/sros2: each node may do what it does, by the shipped parameters, and nothing else."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from tests.paths import ROOT
from tests.ros.harness import Graph
from tests.ros.test_nodes import NODES, start_all

pytestmark = pytest.mark.ros
POLICIES = ROOT / "config/sros2/policies.xml"
KINDS = {
    ("topics", "publish"): "get_publisher_names_and_types_by_node",
    ("topics", "subscribe"): "get_subscriber_names_and_types_by_node",
    ("services", "reply"): "get_service_names_and_types_by_node",
    ("services", "request"): "get_client_names_and_types_by_node",
}


class May(NamedTuple):
    """A node may publish or subscribe to a topic, offer or call a service."""

    how: str
    name: str


def full(name: str, node: str) -> str:
    return f"/{node}/{name[2:]}" if name.startswith("~/") else name if name.startswith("/") else f"/{name}"


def allowed(node: str) -> set[May]:
    """What the policies say of a node in the root namespace."""
    found = ElementTree.parse(POLICIES).findall(f"enclaves/enclave[@path='/edgevl/{node}']/profiles/profile")
    assert [(profile.get("node"), profile.get("ns")) for profile in found] == [(node, "/")]
    return {
        May(how, full(element.text or "", node))
        for group in found[0]
        for how, value in group.attrib.items()
        for element in group
        if value == "ALLOW"
    }


def opened(graph: Graph, node: str) -> Iterator[May]:
    if node not in graph.probe.get_node_names():
        return
    for (_, how), ask in KINDS.items():
        yield from (May(how, name) for name, _types in getattr(graph.probe, ask)(node, "/"))


def test_with_security_enforced_and_no_proper_keys_a_node_refuses_in_one_line(graph, tmp_path, monkeypatch):
    """Also where Fast DDS is built without security, as in the ROS 2 wheels: the node must not go on in the open."""
    enclave = tmp_path / "enclaves/edgevl/label_overlay"
    enclave.mkdir(parents=True)
    for name in ("identity_ca.cert", "cert", "key", "permissions_ca.cert"):
        (enclave / f"{name}.pem").write_text("no key\n")
    for name in ("governance", "permissions"):
        (enclave / f"{name}.p7s").write_text("nothing signed\n")
    for name, value in (("KEYSTORE", str(tmp_path)), ("ENABLE", "true"), ("STRATEGY", "Enforce")):
        monkeypatch.setenv(f"ROS_SECURITY_{name}", value)
    node = graph.start("label_overlay", "--enclave", "/edgevl/label_overlay")
    assert node.wait() == 2
    assert "this node cannot join the graph: " in node.output()
    assert "Traceback" not in node.output()


def test_every_node_opens_what_it_may_and_nothing_else(graph, tmp_path):
    start_all(graph, tmp_path)
    for node in NODES:
        expected = allowed(node)
        if find_spec("vision_msgs") is None:
            expected -= {May("publish", "/scene_classifier/classification")}
        graph.until(lambda n=node, e=expected: e <= set(opened(graph, n)), f"{node} to open all of config/sros2")
        assert set(opened(graph, node)) == expected, f"{node}: change {POLICIES} with what the node opens"


def test_nothing_is_allowed_by_a_pattern():
    tree = ElementTree.parse(POLICIES)
    enclaves = [enclave.get("path") for enclave in tree.findall("enclaves/enclave")]
    assert sorted(enclaves) == sorted(f"/edgevl/{node}" for node in NODES)
    for group in tree.findall("enclaves/enclave/profiles/profile/*"):
        assert (group.tag, *group.attrib) in KINDS
        assert set(group.attrib.values()) == {"ALLOW"}
        assert all(element.tag == group.tag[:-1] and "*" not in (element.text or "*") for element in group)
