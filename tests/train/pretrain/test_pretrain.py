import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_train.data.augment import COLOUR_DRAWS, random_boxes, shift_colour
from edgevl_train.pretrain.captioned import Captioned, read_captioned
from edgevl_train.pretrain.clip_training import stage_of, train, zero_shot_top1
from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import Pretraining
from edgevl_train.sharing import alone
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric

pytestmark = pytest.mark.train
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def test_frames_are_captioned_from_the_truth(sim_bag: Path, tmp_path: Path) -> None:
    data = read_captioned([sim_bag], 48, tmp_path)
    assert len(data.names) == 8
    assert len(set(data.place)) == 4
    assert len(data.rgb) + data.skipped == 96
    assert data.rgb.shape[1:] == (48, 48, 3)


def test_bag_without_truth_is_refused_and_nothing_is_left(bag_without_truth: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0 images of 0 label\(s\)"):
        pretrain([bag_without_truth], tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_existing_directory_is_refused(sim_bag: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"):
        pretrain([sim_bag], tmp_path)


def test_metrics_say_what_it_was_made_from(teacher_directory: Path) -> None:
    record = json.loads((teacher_directory / "metrics.json").read_text())
    assert record["sources"][0]["name"] == "homes"
    assert len(record["validation"]) == 2
    assert record["places"] == 4


def test_it_learns_and_is_deterministic(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    patterns, room = rng.integers(0, 255, (3, 4, 4, 3)), rng.integers(0, 3, 240)
    clean = patterns[room].repeat(12, 1).repeat(12, 2)
    rgb = (clean + rng.normal(0, 15, clean.shape)).clip(0, 255).astype(np.uint8)
    home = np.arange(240) // 24
    names = ["kitchen", "office", "attic"]
    data = Captioned(rgb, room, home, names, [[name, f"a photo of the {name}"] for name in names])
    settings = Pretraining(model=MODEL, epochs=4, batch=24, text_steps=60, warmup_steps=5, precision="32-true")
    fabric = start_fabric(settings)
    model, best = train(data, settings, RunContext(fabric, tmp_path / "one"))
    assert best.metrics["score"] > 0.8
    again, _ = train(data, settings, RunContext(fabric, tmp_path / "two"))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_each_process_has_images_of_every_folder() -> None:
    """Images lie in the file folder by folder, and the BatchNorms of process 0 are the model's."""
    rgb = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3), dtype=np.uint8)
    data = Captioned(rgb, np.repeat([0, 1], 8), np.zeros(16, np.int64), ["attic", "office"], [])
    rows, tokens, settings = np.arange(16), [torch.zeros(1, 16, dtype=torch.int64)] * 2, Pretraining(batch=16)

    def first_batch(rank: int, world: int) -> tuple[torch.Tensor, torch.Tensor]:
        fabric = SimpleNamespace(global_rank=rank, world_size=world, device=torch.device("cpu"))
        (batch,) = stage_of("whole", data, rows, rows[:0], tokens, settings, fabric).batches(0, 0)
        return batch.pixels, batch.caption

    pixels, caption = first_batch(0, 1)
    for rank in range(2):
        mine, shown = first_batch(rank, 2)
        assert torch.bincount(shown).tolist() == [4, 4]
        assert torch.equal(shown, caption[rank::2])
        assert torch.equal(mine, pixels[rank::2])  # whichever process has an image, it looks the same


def test_the_best_epoch_is_chosen_by_the_rule_of_a_label_bank() -> None:
    """A caption whose sentences differ has a short mean, which must not count against it."""
    axes = torch.eye(4)
    image = functional.normalize(0.5 * axes[0] + 0.6 * (axes[1] + axes[2]) / 2**0.5 + 0.6 * axes[3], dim=0)
    model = SimpleNamespace(
        eval=lambda: None,
        logit_scale=torch.zeros(()),
        encode_text=lambda tokens: axes[tokens[:, 0]],
        encode_image=lambda pixels: image.expand(len(pixels), -1),
    )
    data = Captioned(np.zeros((1, 8, 8, 3), np.uint8), np.array([1]), np.zeros(1, np.int64), ["one", "two"], [])
    tokens = [torch.tensor([[0]]), torch.tensor([[1], [2]])]
    assert zero_shot_top1(model, data, np.array([0]), tokens, Pretraining(), alone) == 1.0


def test_colour_jitter_without_strength_changes_nothing() -> None:
    pixels = torch.rand(4, 3, 8, 8) * 255
    draw = torch.rand(COLOUR_DRAWS, 4, generator=torch.Generator().manual_seed(0))
    same = shift_colour(pixels, draw, brightness=0, contrast=0, saturation=0, hue_rad=0)
    assert torch.allclose(same, pixels, atol=0.01)
    grey = torch.full((4, 3, 8, 8), 90.0)
    hue = shift_colour(grey, draw, brightness=0, contrast=0, saturation=0.5, hue_rad=1.0)
    assert torch.allclose(hue, grey, atol=0.5)  # grey has no hue
    bright = shift_colour(pixels, draw, brightness=0.4, contrast=0, saturation=0, hue_rad=0)
    ratio = functional.normalize(bright.flatten(1), dim=1) * functional.normalize(pixels.flatten(1), dim=1)
    assert ratio.sum(1).min() > 0.98
    assert bright.mean((1, 2, 3)).std() > 5


def test_random_boxes_lie_in_the_frame() -> None:
    boxes, flips = random_boxes(500, 0.4, 1.333, torch.Generator().manual_seed(0))
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-6
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert area.min() > 0.38
    assert 0.4 < flips.float().mean() < 0.6
