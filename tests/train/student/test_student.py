"""Students: any timm backbone, pixels in, unit vectors out."""

import pytest
import torch
from safetensors.torch import save_file

from edgevl_core.base.errors import UserError
from edgevl_train.student.network import build_student

pytestmark = pytest.mark.train


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("resnet10t", {"output_stride": 16}),
        ("mobilenetv4_conv_small", {}),
        ("vit_tiny_patch16_224", {"img_size": 64, "depth": 2}),
    ],
)
def test_pixels_become_unit_vectors(name, backbone, head):
    student = build_student(name, 24, head=head, backbone=backbone).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        embedding = student(pixels)
        torch.testing.assert_close(student(pixels.float()), embedding)
    assert embedding.shape == (2, 24)
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv4_conv_small", "test_efficientnet", "test_vit"])
def test_with_its_maps_it_says_the_same(name):
    student = build_student(name, 24, size_px=96).eval()
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        embedding, maps = student.forward_maps(pixels)
        torch.testing.assert_close(embedding, student(pixels))
    assert len(maps) > 1
    assert all(each.ndim == 4 for each in maps)


def test_mobilenet_keeps_a_finer_map_at_a_smaller_stride():
    pixels = torch.zeros(1, 3, 64, 64)
    for stride, side in ((32, 2), (16, 4), (8, 8)):
        student = build_student("mobilenetv4_conv_small", 8, backbone={"output_stride": stride})
        with torch.no_grad():
            assert student.eval().backbone.forward_features(pixels).shape[-1] == side


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("resnet10tt", {}, "did you mean resnet10t"),
        ("zzzzzz", {}, "choose one of timm"),
        ("resnet10t", {"backbone": {"stride": 16}}, "does not take the backbone arguments"),
        ("mobilenetv4_conv_small", {"backbone": {"output_stride": 12}}, "output_stride=12"),
        ("resnet10t", {"head": "conv"}, "head 'conv'"),
        ("resnet10t", {"pretrained": "weights.bin"}, "safetensors"),
    ],
)
def test_wrong_requests_are_explained(name, arguments, reason):
    with pytest.raises(UserError, match=reason):
        build_student(name, 8, **arguments)


def test_local_weights_are_loaded_or_refused(tmp_path):
    donor = build_student("resnet10t", 8)
    weights = {
        **donor.backbone.state_dict(),
        "fc.weight": torch.zeros(1000, 512),
    }  # timm files have a classifier
    save_file(weights, tmp_path / "weights.safetensors")
    own = {"pretrained_mean": (128 / 255,) * 3, "pretrained_std": (64 / 255,) * 3}  # other ones: test_pretrained.py
    heir = build_student("resnet10t", 8, pretrained=tmp_path / "weights.safetensors", **own)
    torch.testing.assert_close(heir.backbone.state_dict(), donor.backbone.state_dict())
    with pytest.raises(UserError, match="do not fit 'resnet14t'"):
        build_student("resnet14t", 8, pretrained=tmp_path / "weights.safetensors")


@torch.no_grad()
def test_masked_windows_leave_no_denormal_numbers():
    small = {"embed_dim": 32, "depths": (2, 1), "num_heads": (1, 2)}
    student = build_student("swin_tiny_patch4_window7_224", 8, size_px=56, backbone=small).eval()
    masks = [values for name, values in student.named_buffers() if name.endswith("attn_mask")]
    assert masks
    assert all(values.unique().tolist() == [-50, 0] for values in masks)
    pixels = torch.randint(0, 256, (2, 3, 56, 56), dtype=torch.uint8)
    answer = student(pixels)
    for values in masks:
        values.mul_(2)  # timm's own -100
    torch.testing.assert_close(student(pixels), answer, rtol=0, atol=0)
