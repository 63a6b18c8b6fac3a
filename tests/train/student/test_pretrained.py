"""Weights from a file see what they were trained to see, though the student's pixels are normalised otherwise."""

import copy

import pytest
import torch
from torch import nn

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import timm
from safetensors.torch import save_file

from edgevl_core.base.errors import UserError
from edgevl_train.quantise import calibrate, fake_quantise, fuse
from edgevl_train.recipe import parse_recipe
from edgevl_train.restore import load_student
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import build_student
from edgevl_train.student.normalisation import fold_normalisation
from tests.train.quantise.quantised import pixels_of

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("name", "size_px", "backbone", "inside"),
    [
        # What lies inside: cells of the first convolution's output that zero padding does not reach; None: no padding.
        ("vit_small_patch16_224", 64, {"img_size": 64, "depth": 2}, None),
        ("vit_base_patch32_clip_224", 64, {"img_size": 64, "depth": 1}, None),  # its convolution has no bias
        ("swin_tiny_patch4_window7_224", 56, {"img_size": 56, "depths": (2, 1), "num_heads": (1, 2)}, None),
        ("dat_tiny", 32, {"img_size": 32, "depths": (1, 1, 2, 2)}, None),
        ("resnet18", 64, {}, slice(2, -2)),
        ("mobilenetv4_conv_small", 64, {}, slice(1, -1)),
        ("mobilenetv2_100", 64, {"pad_type": "same"}, slice(1, -1)),
        ("mobileone_s0", 64, {}, slice(1, -1)),  # two convolutions read the pixels
    ],
)
@torch.no_grad()
def test_the_loaded_backbone_sees_what_its_weights_were_made_for(name, size_px, backbone, inside, tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=0, **backbone).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if trained
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    student = build_student(
        name,
        8,
        size_px=size_px,
        backbone=backbone,
        pretrained=tmp_path / "weights.safetensors",
        pretrained_mean=mean,
        pretrained_std=std,
    ).eval()
    pixels = torch.randint(0, 256, (2, 3, size_px, size_px), dtype=torch.uint8)
    normalised = (pixels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    if inside is None:
        expected, actual = theirs(normalised), student.backbone(student.normalise(pixels))
    else:
        expected = _first_norm(theirs, normalised)[..., inside, inside]
        actual = _first_norm(student.backbone, student.normalise(pixels))[..., inside, inside]
    assert (actual - expected).norm() < 1e-4 * expected.norm()


def _first_norm(backbone: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What comes out of the first BatchNorm."""
    norm = next(module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d))
    found = []
    handle = norm.register_forward_hook(lambda module, arguments, output: found.append(output.clone()))
    backbone(images)
    handle.remove()
    return found[0]


def test_timm_s_own_normalisation_is_the_default(tmp_path):
    given, left_out = ((0.5,) * 3, (0.5,) * 3), (None, None)  # what timm says of test_resnet
    donor = timm.create_model("test_resnet", num_classes=0)
    save_file(donor.state_dict(), tmp_path / "weights.safetensors")
    states = [
        build_student(
            "test_resnet", 8, pretrained=tmp_path / "weights.safetensors", pretrained_mean=mean, pretrained_std=std
        ).backbone.state_dict()
        for mean, std in (given, left_out)
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["conv1.0.weight"], donor.state_dict()["conv1.0.weight"])
    with pytest.raises(UserError, match="pretrained_mean and pretrained_std are of the file in pretrained"):
        parse_recipe({"student": {"pretrained_mean": [0.5, 0.5, 0.5]}}, origin="r")


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
@torch.no_grad()
def test_a_checkpoint_brings_the_bias_that_the_normalisation_needed(stage, tmp_path):
    name, arguments = "vit_base_patch32_clip_224", {"img_size": 32, "depth": 1, "embed_dim": 64, "num_heads": 2}
    section = {"name": name, "size_px": 32, "backbone": arguments}
    save_file(timm.create_model(name, num_classes=0, **arguments).state_dict(), tmp_path / "weights.safetensors")
    weights = {"pretrained": tmp_path / "weights.safetensors", "pretrained_mean": (0.2, 0.3, 0.4)}
    student = build_student(name, 8, size_px=32, backbone=arguments, **weights).eval()
    pixels = pixels_of(2, size_px=32)
    trained = calibrate(fake_quantise(fuse(student)), [pixels]).eval() if stage == "stage2" else student
    torch.save({"best": {"state": trained.state_dict()}}, tmp_path / f"{stage}.pt")
    read = load_student(tmp_path / f"{stage}.pt", StudentSection.model_validate(section), 8)
    torch.testing.assert_close(read(pixels), trained(pixels), rtol=0, atol=0)


def test_a_backbone_that_reads_its_pixels_otherwise_is_refused():
    """Nothing of these can be scaled: the pixels are shuffled first, or the weights are standardised."""
    for name in ("tresnet_m", "resnetv2_50x1_bit"):
        network = timm.create_model(name, num_classes=0)
        with pytest.raises(UserError, match=f"student '{name}' with pretrained weights: it reads its pixels otherwise"):
            fold_normalisation(network, name, (0.5,) * 3, (0.2, 0.3, 0.4), 64)


def test_the_network_is_left_as_it_was_apart_from_that():
    network = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same").train()
    before = copy.deepcopy(network)
    fold_normalisation(network, "mobilenetv2_100", (128 / 255,) * 3, (64 / 255,) * 3, 32)  # the student's own
    assert network.training
    torch.testing.assert_close(network.state_dict(), before.state_dict())
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(network.eval()(pixels), before.eval()(pixels))
