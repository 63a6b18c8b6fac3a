"""Nodes that trust keys: what those did not sign is refused at the start, by ~/load_bundle, and after an adaptation."""

from pathlib import Path

import pytest
from edgevl.msg import AdaptationStatus
from edgevl.srv import LoadBundle
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from edgevl_core.bundle.signature import fingerprint
from edgevl_core.bundle.signing import new_key, sign_bundle
from tests.ros import harness
from tests.ros.classifying import NODE
from tests.ros.test_adapt import program, start, state  # noqa: F401  (program is a fixture)

pytestmark = pytest.mark.ros


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def make_bundle(path: Path, key: Path | None = None, seed: int = 0) -> str:
    """A bundle, signed where there is a key; its bundle_id."""
    bundle_id = harness.write_test_bundle(path, seed=seed)
    if key is not None:
        sign_bundle(path, key)
    return bundle_id


def test_bundles_of_strangers_are_refused_and_the_good_one_stays(graph, tmp_path, key):
    public, stranger = new_key(tmp_path / "mine.pem"), key
    good = make_bundle(tmp_path / "good", tmp_path / "mine.pem")
    make_bundle(tmp_path / "unsigned", seed=1)
    make_bundle(tmp_path / "foreign", stranger, seed=2)
    better = make_bundle(tmp_path / "better", tmp_path / "mine.pem", seed=3)
    stats = graph.watch_stats(f"{NODE}/stats")
    node = graph.start(NODE, bundle=str(tmp_path / "good"), trust=[public])
    graph.until(lambda: stats().get("bundle_id") == good, "the signed bundle")
    for name, told in (("unsigned", "is not signed"), ("foreign", "is signed by key")):
        refused = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / name))
        assert (refused.ok, refused.bundle_id) == (False, good)
        assert told in refused.message
        assert fingerprint(public) in refused.message
        assert "\n" not in refused.message
    # Nobody on the graph can switch it off.
    asked = Parameter("trust", value=["unsigned"]).to_parameter_msg()
    answer = graph.call(SetParameters, f"{NODE}/set_parameters", parameters=[asked])
    assert not answer.results[0].successful
    assert not graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "unsigned")).ok
    assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "better")).bundle_id == better
    assert node.stop() == 0


@pytest.mark.parametrize("name", ["scene_classifier", "room_mapper"])
def test_a_node_does_not_start_with_a_strangers_bundle_or_with_what_is_no_key(graph, tmp_path, key, name):
    public = new_key(tmp_path / "mine.pem")
    make_bundle(tmp_path / "foreign", key)
    common = {"directory": str(tmp_path / "map")} if name == "room_mapper" else {}
    node = graph.start(name, bundle=str(tmp_path / "foreign"), trust=[public], **common)
    other = graph.start(name, trust=[public[:-1]], **common)
    assert (node.wait(), other.wait()) == (2, 2)
    assert "is signed by key" in node.output()
    assert "is no public key" in other.output()
    assert "Traceback" not in node.output() + other.output()


@pytest.mark.parametrize("signs", [True, False])
def test_a_robot_that_trusts_its_own_key_adapts_itself(graph, tmp_path, key, program, signs):  # noqa: F811
    public = new_key(tmp_path / "mine.pem")
    bundle_id = make_bundle(tmp_path / "bundle")
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, trust=[public])
    _, status = start(
        graph,
        tmp_path,
        "succeed",
        f"bundle={tmp_path / 'bundle'}",
        executable=program,
        classifier_service=f"{NODE}/load_bundle",
        signing_key=str(tmp_path / "mine.pem") if signs else "",
    )
    graph.until(lambda: stats() and status(), "both nodes")
    assert graph.call(Trigger, "adaptation_manager/adapt").success
    final: AdaptationStatus = graph.until(state(status, "succeeded", "failed"), "the end of the adaptation")
    if signs:
        assert final.state == "succeeded", final.message
        graph.until(lambda: stats().get("bundle_id") == bundle_id, "the bundle in the classifier")
    else:
        assert final.state == "failed"
        assert "is not signed" in final.message
