"""Small data: a made-up cache whose eight kinds show in RGB and in depth, simulated bags, a very small teacher."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgevl_core.base.resources import resource
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.writer import BagWriter
from edgevl_sim.bag import write_bag
from edgevl_train.adapt import adapt
from edgevl_train.data.cache import Cache
from edgevl_train.data.run_data import RunData
from edgevl_train.data.views import draw_views
from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import Pretraining
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe
from edgevl_train.sections import CacheSection

KINDS, DIM = 8, 16


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # whatever the machine has: figures depend on it


@pytest.fixture
def tiny_recipe() -> Recipe:
    return parse_recipe(
        {
            "student": {"name": "test_resnet", "size_px": 32, "backbone": {"output_stride": 16}},
            "cache": {"size_px": 48},
            "views": {"count": 3, "flip": False},
            "stage1": {"epochs": 2, "batch": 32, "lr": 4e-3},
            "stage2": {"epochs": 1, "batch": 32, "lr": 1e-4, "calibration_pairs": 64},
        },
        origin="test",
    )


def of_cache(recipe: Recipe) -> tuple[Preprocess, CacheSection]:
    """What of a recipe decides its cache."""
    return recipe.robot_preprocess(), recipe.cache


def make_run_data(recipe: Recipe, pairs: int = 320) -> RunData:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, KINDS, pairs)
    patterns = rng.integers(0, 255, (2, KINDS, 4, 4, 3))

    def images(modality: int, side: int) -> np.ndarray:
        clean = patterns[modality][kind].repeat(side // 4, 1).repeat(side // 4, 2)
        return (clean + rng.normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)

    small, large = recipe.student.size_px, recipe.cache.size_px
    arrays = [images(modality, side) for side in (small, large) for modality in (0, 1)]
    stamps = np.arange(pairs, dtype=np.int64) * 500_000_000
    cache = Cache(*arrays, stamps, np.zeros(pairs, np.int64), {"key": "made up"})
    bank = np.linalg.qr(rng.normal(size=(DIM, KINDS)))[0].T.astype(np.float32)
    targets = np.broadcast_to(bank[kind], (recipe.views.count, pairs, DIM)).astype(np.float16)
    views = draw_views(pairs, recipe.views, recipe.seed)
    rows = np.arange(pairs)
    held = pairs // 5
    return RunData(cache, views, targets, rows[:-held], rows[-held:], kind, bank, 20.0)


@pytest.fixture
def run_data(tiny_recipe: Recipe) -> RunData:
    return make_run_data(tiny_recipe)


@pytest.fixture(scope="session")
def sim_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated homes of 8 rooms x 3 frames, with truth."""
    path = tmp_path_factory.mktemp("bags") / "homes"
    write_bag(path, seed=0, split="train", homes=4, frames_per_room=3)
    return path


@pytest.fixture(scope="session")
def other_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated home of 8 rooms x 2 frames that nobody learns from, with truth."""
    path = tmp_path_factory.mktemp("bags") / "other_home"
    write_bag(path, seed=0, split="test", homes=1, frames_per_room=2)
    return path


@pytest.fixture(scope="session")
def bag_without_truth(sim_bag: Path) -> Path:
    """The same images, rooms unknown."""
    path = sim_bag.parent / "homes_without_truth"
    with BagReader(sim_bag) as reader, BagWriter(path) as writer:
        topics = [topic for topic in reader.topics.values() if topic.name.strip("/") != "truth"]
        for topic in topics:
            writer.add_topic(topic.name, topic.msgtype)
        for message in reader.messages([topic.name for topic in topics]):
            writer.write(message.topic, message.data, message.stamp_ns)
    return path


@pytest.fixture(scope="session")
def teacher_directory(sim_bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small open_clip model, trained for two epochs: it knows next to nothing, but it is a real one."""
    out = tmp_path_factory.mktemp("teacher") / "clip"
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet"},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    settings = Pretraining(model=model, epochs=2, batch=16, text_steps=20)
    assert pretrain([sim_bag], out, settings=settings) == f"open_clip:@{out}"
    return out


@pytest.fixture(scope="session")
def run_recipe() -> Recipe:
    """The demo's, in small."""
    return load_recipe(
        resource("config/train/demo.yaml"),
        [
            "student={name: test_resnet, size_px: 32, backbone: {output_stride: 16}}",
            "cache.size_px=40",
            "views.count=2",
            "split.val_fraction=0.2",
            "stage1={epochs: 2, batch: 16}",
            "stage2={epochs: 1, batch: 16, calibration_pairs: 32}",
        ],
    )


@pytest.fixture(scope="session")
def finished_run(
    sim_bag: Path, teacher_directory: Path, run_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run directory of a whole adaptation to ``sim_bag``."""
    out, labels = tmp_path_factory.mktemp("runs") / "run", resource("config/labels/home.yaml")
    teacher = f"open_clip:@{teacher_directory}"
    assert adapt([sim_bag], teacher, labels, out, run_recipe, loggers=["tensorboard"]) == out / "bundle"
    return out
