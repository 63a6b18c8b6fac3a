"""A student that goes on from an earlier run: its pairs come along, and what the recipe leaves open is that run's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.student_bundle import read_manifest
from edgevl_sim.bag import write_bag
from edgevl_train.adapt import adapt
from edgevl_train.data.batches import make_batches
from edgevl_train.data.curate import Curation
from edgevl_train.data.replay import EarlierRun, earlier_pairs, inherited
from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.data.split import split_pairs
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.prepare import gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe
from edgevl_train.training.validation import validator

pytestmark = pytest.mark.train
LABELS = resource("config/labels/home.yaml")


@pytest.fixture
def base(finished_run: Path) -> Path:
    """A run over four homes."""
    return finished_run


@pytest.fixture(scope="module")
def home_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "home"
    write_bag(path, seed=0, split="val", homes=1, frames_per_room=8, hz=1.0)
    return path


def home_recipe(base: Path, *settings: str) -> Recipe:
    small = ("views.count=2", "stage1={epochs: 1, batch: 16}", "stage2={epochs: 0, batch: 16, calibration_pairs: 32}")
    return load_recipe(
        resource("config/train/home.yaml"), [f"student.start_from={base}", "split.gap_s=1", *small, *settings]
    )


def test_a_run_is_found_again_from_elsewhere(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base.parent)
    assert inherited(home_recipe(Path(base.name))).student.start_from == base


def test_what_the_recipe_leaves_open_is_the_earlier_runs(base: Path) -> None:
    recipe = inherited(home_recipe(base))
    assert (recipe.student.name, recipe.student.size_px, recipe.cache.size_px) == ("test_resnet", 32, 40)
    assert recipe.student.backbone == {"output_stride": 16}
    assert inherited(home_recipe(base, "student.size_px=40")).student.size_px == 40
    assert inherited(home_recipe(base, "cache.size_px=36")).cache.size_px == 36  # not below the earlier run's student
    for setting in ("cache.size_px=30", "student.size_px=41"):
        with pytest.raises(UserError, match=r"cache.size_px \d+ is below student.size_px \d+: crops would be enlarged"):
            inherited(home_recipe(base, setting))
    with pytest.raises(UserError, match=r"start_from=.*nowhere: no checkpoints"):
        inherited(home_recipe(Path("nowhere")))


def test_naming_the_student_again_leaves_its_size_to_the_earlier_run(tmp_path: Path) -> None:
    named = "student.name=mobilenetv4_conv_medium"
    theirs = load_recipe(settings=[named, "student.size_px=128", "student.head=mlp", "cache.size_px=160"])
    (tmp_path / "recipe.yaml").write_bytes(dump_recipe(theirs))
    recipe = inherited(home_recipe(tmp_path, named))
    assert (recipe.student.size_px, recipe.student.head, recipe.cache.size_px) == (128, "mlp", 160)
    assert load_recipe("home", ["student.name=efficientnet_b3", "cache.size_px=320"]).student.size_px == 300


def test_another_student_than_the_earlier_runs_is_refused(base: Path, home_bag: Path, teacher_directory: Path) -> None:
    with pytest.raises(UserError, match=r"its student has name 'test_resnet', not 'resnet18'.*choose the same student"):
        prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(base, "student.name=resnet18"))


def test_three_quarters_of_every_batch_are_replayed_and_earlier_homes_are_validated(
    base: Path, home_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    setup = prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(base))
    fabric = Fabric(accelerator="cpu", devices=1)
    with RunProgress(None, {"cache": 1, "teacher": 1}) as progress:
        data = gather(setup, open_inputs(setup, tmp_path / "run", fabric), tmp_path / "run", progress, fabric).data
    (run,), (earlier,) = setup.earlier, data.replay
    assert len(earlier.cache) == 96
    theirs = load_recipe(base / "recipe.yaml")
    split = split_pairs(run.cache.stamp_ns, run.cache.bag, theirs.split, theirs.seed)
    assert split.dropped > 0  # beside its validation blocks: it did not learn from those either
    assert (run.train.tolist(), run.val.tolist()) == (split.train.tolist(), split.val.tolist())
    assert set(earlier.train) <= set(run.train)
    assert not set(earlier.train) & set(earlier.val)
    assert (np.asarray(earlier.targets[1, earlier.val]) == 0).all()  # only whole frames of those were embedded
    batches, steps = make_batches(data, setup.recipe, 16, 1, fabric)
    assert steps == len(data.train) // 4
    first = next(batches(0))
    assert first.pixels.shape == (32, 3, 32, 32)
    of_home = {bytes(row.tobytes()) for row in np.asarray(data.targets, np.float32).reshape(-1, 16)}
    assert sum(bytes(row.numpy().tobytes()) in of_home for row in first.target) == 4
    again = next(batches(0))
    assert torch.equal(first.pixels, again.pixels)
    metrics = validator(data, torch.device("cpu"))(setup.student.eval())
    assert {"agree_rgb", "agree_depth_before", "cos_rgb_before"} <= set(metrics)
    assert len(calibration_pixels(data, 32)) == 64


def test_an_adapted_student_is_held_against_the_one_before(
    base: Path, sim_bag: Path, home_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    spec, first = f"open_clip:@{teacher_directory}", tmp_path / "monday"
    bundle = adapt([home_bag], spec, LABELS, first, home_recipe(base))
    report = json.loads((first / "report.json").read_text())
    decision = report["decision"]
    assert set(decision["rows"]["all"]) == {"pairs", "teacher_dim", "adapted", "base", "error"}
    assert decision["rows"]["earlier homes"]["pairs"] > 0
    assert [bag.name for bag in read_manifest(bundle).provenance.bags] == ["home", "homes"]
    assert evaluate(bundle, [sim_bag])["trained_on"] == [str(sim_bag)]  # the base was
    status = json.loads((first / "status.json").read_text())
    assert status["message"] == decision["sentence"] == read_manifest(bundle).metrics["training"]["decision"]
    assert status.get("refused", "") == ("" if decision["deploy"] else decision["sentence"])
    # The next night in another home: what both runs before have learned from comes along.
    write_bag(tmp_path / "flat", seed=0, split="val", first_home=1, homes=1, frames_per_room=4, hz=1.0)
    setup = prepare([tmp_path / "flat"], spec, LABELS, home_recipe(first))
    fabric = Fabric(accelerator="cpu", devices=1)
    with RunProgress(None, {"cache": 1, "teacher": 1}) as progress:
        out = tmp_path / "tuesday"
        data = gather(setup, open_inputs(setup, out, fabric), out, progress, fabric).data
    assert [len(part.cache) for part in data.replay] == [64, 96]
    batches, _ = make_batches(data, setup.recipe, 16, 1, fabric)
    assert {len(batch.target) for batch in batches(0)} == {16}
    # In the same home again: its pairs may be for validation this time, so they are not replayed as well.
    again = prepare([home_bag], spec, LABELS, home_recipe(first))
    with RunProgress(None, {"cache": 1, "teacher": 1}) as progress:
        out = tmp_path / "wednesday"
        data = gather(again, open_inputs(again, out, fabric), out, progress, fabric).data
    assert [len(part.cache) for part in data.replay] == [96]


def earlier_run(data: RunData, *hashes: str) -> EarlierRun:
    """A run over bags of these hashes, each with as many pairs."""
    bag = np.arange(len(data.cache)) % len(hashes)
    cache = replace(data.cache, bag=bag, index=index_of(*hashes))
    return EarlierRun(cache, data.views, data.targets, data.train, data.val)


def index_of(*hashes: str) -> dict:
    """Of a cache."""
    return {"key": "", "bags": [{"sha256": each} for each in hashes]}


def keep_all(embeddings: np.ndarray) -> Curation:
    rows = np.arange(len(embeddings))
    return Curation(rows, rows, embeddings[:, 0], {})


def test_a_bag_is_replayed_from_the_newest_run_that_has_it(run_data: RunData) -> None:
    """Each run has split it in its own way: what validates in an older one may have been learned from in a newer."""
    runs = [earlier_run(run_data, *hashes) for hashes in (("c", "b"), ("b",), ("b", "a"), ("a", "z"))]
    new = replace(run_data.cache, index=index_of("c"))
    found = earlier_pairs(runs, new, run_data.val, 5.0, LabelBank((), (), (), run_data.bank), 20.0, keep_all)
    used = [{part.cache.index["bags"][number]["sha256"] for number in part.cache.bag[part.train]} for part in found]
    assert used == [{"b"}, {"a"}, {"z"}]
    validated = [{part.cache.index["bags"][number]["sha256"] for number in part.cache.bag[part.val]} for part in found]
    assert validated == used


def test_a_drive_that_has_grown_is_known_by_its_stamps(run_data: RunData) -> None:
    """Another file by its hash. The new run has pairs 160 to 319, and validates on 160 to 169; there are two a second.

    What lies less than 5 s before those is no training pair of the new run, so none to replay. An older run over the
    same drive has nothing to add to a newer one's. A folder of pictures has stamps that were made up: they say nothing.
    """
    stamp_ns = run_data.cache.stamp_ns
    for first_ns, rows in (
        (1_790_000_000_123_456_789, [[*range(151)]]),
        (1_700_000_000_000_000_000, [[*range(256)]] * 2),
    ):
        old, older = (earlier_run(run_data, name) for name in ("drive", "drive_recovered"))
        runs = [replace(run, cache=replace(run.cache, stamp_ns=stamp_ns + first_ns)) for run in (old, older)]
        stamps_of_new = stamp_ns[160:] + first_ns
        new = replace(
            run_data.cache, stamp_ns=stamps_of_new, bag=np.zeros(160, np.int64), index=index_of("drive_grown")
        )
        found = earlier_pairs(runs, new, np.arange(10), 5.0, LabelBank((), (), (), run_data.bank), 20.0, keep_all)
        assert [part.train.tolist() for part in found] == rows
        assert [len(part.val) for part in found] == [0 if len(found) == 1 else 64] * len(found)


def test_a_run_without_its_pairs_is_refused_with_the_way_out(
    base: Path, home_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(base, bare)
    shutil.rmtree(bare / "cache")
    with pytest.raises(UserError, match=r"its input is .*leave student\.size_px"):
        prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(base, "student.size_px=40"))
    with pytest.raises(UserError, match=r"replay of .*bare.*replay\.share=0"):
        prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(bare))


def test_runs_that_start_from_each_other_are_refused(
    base: Path, home_bag: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    first, second = (shutil.copytree(base, tmp_path / name) for name in ("first", "second"))
    for run, start in ((first, second), (second, first)):
        recipe = load_recipe(run / "recipe.yaml", [f"student.start_from={start}"])
        (run / "recipe.yaml").write_bytes(dump_recipe(recipe))
    with pytest.raises(UserError, match=r"in a circle \(first -> second -> first\).*replay\.share=0"):
        prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(first))
    assert (
        prepare([home_bag], f"open_clip:@{teacher_directory}", LABELS, home_recipe(first, "replay.share=0")).earlier
        == []
    )
