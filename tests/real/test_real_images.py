"""The main job on real RGB-D images: import, adapt, and answer every frame over ROS 2."""

from pathlib import Path

import pytest
from edgevl.msg import SceneClass

from edgevl_core.base.resources import resource
from edgevl_core.bundle.student_bundle import read_manifest
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_sim import write_bag
from edgevl_train.adapt import adapt
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import Pretraining
from edgevl_train.recipe import parse_recipe
from tests.ros.harness import RELIABLE, Graph, graph, use_profile

pytestmark = [pytest.mark.real, pytest.mark.ros, pytest.mark.train]

SMALL = {
    "student": {"name": "test_resnet", "size_px": 32, "backbone": {"output_stride": 16}},
    "cache": {"size_px": 48},
    "views": {"count": 2},
    "stage1": {"epochs": 1, "batch": 32},
    "stage2": {"epochs": 1, "batch": 32, "calibration_pairs": 64},
}


@pytest.fixture
def robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> Graph:
    use_profile(monkeypatch)
    with graph(tmp_path) as opened:
        yield opened


def test_real_pairs_from_the_folder_to_the_answers(real_data: Path, robot: Graph, tmp_path: Path) -> None:
    real, homes = tmp_path / "real", tmp_path / "homes"
    assert import_collection(real_data / "hololens_rgbd", real).pairs == 187
    write_bag(homes, seed=0, split="train", homes=2, frames_per_room=2)
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet"},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    settings = Pretraining(model=model, epochs=1, batch=16, text_steps=10)
    teacher = pretrain([homes], tmp_path / "teacher", settings=settings)
    labels = resource("config/labels/home.yaml")
    bundle = adapt([real, homes], teacher, labels, tmp_path / "run", parse_recipe(SMALL, origin="test"))
    pairs_by_bag = {bag.name: bag.pairs for bag in read_manifest(bundle).provenance.bags}
    assert pairs_by_bag == {"real": 187, "homes": 32}

    scenes: set[int] = set()
    robot.subscribe(
        SceneClass,
        "scene_classifier/scene",
        lambda message: scenes.add(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec),
    )
    classifier = robot.watch_stats("scene_classifier/stats")
    player = robot.watch_stats("bag_player/status")
    compressed = {"rgb_topic": "camera/rgb/image_raw/compressed"}
    robot.start("scene_classifier", bundle=str(bundle), **{**RELIABLE, "qos_depth": 200}, **compressed)
    robot.wait_for_hearers(classifier, "scene_subscribers")
    waits = {"wait_rgb_subscribers": 1, "wait_depth_subscribers": 1}
    robot.start("bag_player", bag=str(real), exit_at_end=False, qos_depth=200, **waits)
    robot.until(lambda: player().get("finished") == "true", "the end of the real drive")

    def accounted() -> bool:
        counts = {key: int(classifier().get(key, -1)) for key in ("frames", "answered", "superseded", "failed")}
        return counts["frames"] == 187 == sum(counts.values()) - counts["frames"]

    robot.until(accounted, "all 187 real pairs to be answered or superseded")
    assert classifier()["received_rgb"] == classifier()["received_depth"] == "187"
    assert classifier()["failed"] == "0"
    robot.until(lambda: len(scenes) == int(classifier()["answered"]), "all answers")
    assert scenes <= {pair.stamp_ns for pair in read_pairs(real)}
