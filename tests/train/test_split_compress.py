"""``edgevl split RUN --compress``: fewer bytes travel, and both machines still run one student."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgevl_cli.main import app
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.classify.model import Model
from edgevl_core.classify.smoothing import Smoother
from edgevl_core.offload.halves import load_halves
from edgevl_core.offload.link import Link
from edgevl_core.offload.student import Offload
from edgevl_train.recipe import dump_recipe, load_recipe
from edgevl_train.split.cut import find_cuts, load_network
from tests.cli.json_answers import answer_of

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def layer(finished_run: Path) -> int:
    """Somewhere in the middle."""
    cuts = find_cuts(load_network(finished_run / "bundle/student.onnx"))
    return cuts[len(cuts) // 2].after


@pytest.fixture
def gpu_run(finished_run: Path, tmp_path: Path) -> Path:
    """The same run, as if it had been trained on two GPUs: what is small enough for the CPU is trained there."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    recipe = load_recipe(run / "recipe.yaml").model_copy(update={"accelerator": "cuda", "devices": 2})
    (run / "recipe.yaml").write_bytes(dump_recipe(recipe))
    return run


def test_half_the_channels_travel_and_the_halves_are_one_student(
    gpu_run: Path, finished_run: Path, sim_bag: Path, layer: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cut"
    words = ["--at", layer, "--compress", "2", "--out", out, "--judge", sim_bag, "--seconds", "0.1"]
    said = answer_of(capsys, "split", gpu_run, *words)
    whole = next(row for row in said["cuts"] if row["cut"] and row["cut"]["after"] == layer and row["compress"] == 1)
    (thin,) = (row for row in said["cuts"] if row["compress"] == 2)
    assert thin["bytes"] * 2 == whole["bytes"]
    assert said["cosine"] >= said["cosine_before"] > 0.5  # the best epoch is kept, that before training included
    assert set(said["judged"]) == {"whole", "halves"}
    assert said["judged"]["halves"]["samples"] == said["judged"]["whole"]["samples"] > 0

    halves, bundle = load_halves(out), load_bundle(finished_run / "bundle", both=False)
    assert halves.manifest.compress == 2
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, bundle.engine.size_px, bundle.engine.size_px), np.uint8)
    assert halves.front(pixels).nbytes == 2 * thin["bytes"]
    offload = Offload(halves, Link(halves.manifest, lambda number, features: False, 1.0, lambda text: None), 0.0)
    model = Model(bundle, Classifier(bundle), Smoother(0.0, 0.0, 1.0))
    assert not offload.through(model).alone


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["bundle", "--compress", "2"], "learns from training pairs: pass the run directory"),
        (["", "--compress", "100000"], "accepted 2 up to the number of channels"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], reason: str, finished_run: Path, layer: int, tmp_path: Path) -> None:
    student, *rest = words
    out = tmp_path / "cut"
    with pytest.raises(UserError, match=reason) as error:
        app(["split", str(finished_run / student), "--at", str(layer), "--out", str(out), *rest], standalone_mode=False)
    assert "\n" not in str(error.value)
    assert not out.exists()
