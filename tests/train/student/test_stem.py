"""A first convolution of stride 1 reads a picture as one of stride 2 reads it enlarged."""

import pytest
import torch
from torch.nn import functional

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import timm
from safetensors.torch import save_file

from edgevl_core.base.errors import UserError
from edgevl_train.new_student import check_stage1
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.student.network import build_student

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("name", "stem", "border"),
    [("mobilenetv2_100", "conv_stem", 1), ("mobilenetv4_conv_small", "conv_stem", 1), ("resnet18", "conv1", 3)],
)
@torch.no_grad()
def test_pretrained_weights_see_the_picture_enlarged(name, stem, border, tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "weights.safetensors")
    given = {"size_px": 32, "pretrained": tmp_path / "weights.safetensors"}
    plain = build_student(name, 8, **given).eval()
    dense = build_student(name, 8, backbone={"stem_stride": 1}, **given).eval()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    seen = dense.normalise(pixels)
    enlarged = functional.interpolate(seen, scale_factor=2, mode="bilinear", align_corners=False)
    expected = plain.backbone.get_submodule(stem)(enlarged)[..., border:-border, border:-border]
    actual = dense.backbone.get_submodule(stem)(seen)
    assert actual.shape[-1] == 32
    assert torch.allclose(actual[..., border:-border, border:-border], expected, atol=1e-4)


def test_what_an_earlier_run_left_is_not_enlarged_again():
    torch.manual_seed(0)
    first = build_student("resnet10t", 8, backbone={"stem_stride": 1})
    again = build_student("resnet10t", 8, backbone={"stem_stride": 1})
    again.load_state_dict(first.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(first.eval()(pixels), again.eval()(pixels))


@pytest.mark.parametrize(
    ("name", "stride", "said"),
    [
        ("vit_tiny_patch16_224", 1, "does not read its pixels by one convolution of stride 2"),
        ("mobileone_s0", 1, "does not read its pixels by one convolution of stride 2"),  # branches
        ("resnet18", 2, "stem_stride=2: accepted is 1"),
    ],
)
def test_other_stems_are_refused(name, stride, said):
    with pytest.raises(UserError, match=said) as refused:
        build_student(name, 8, backbone={"stem_stride": stride})
    assert "\n" not in str(refused.value)


def test_a_stage_1_that_does_not_suit_the_student_is_refused():
    section = Stage1Section(small_share=0.5, start_share=0.3)
    student = build_student("test_resnet", 8)
    check_stage1(student, section, 64)
    student.origin = "random weights"
    with pytest.raises(UserError, match=r"stage1\.start_share=0\.3 .* and these are random weights: use 0, or give"):
        check_stage1(student, section, 64)
    of_one_size = build_student("vit_tiny_patch16_224", 8, size_px=64, backbone={"depth": 1})
    with pytest.raises(
        UserError, match=r"stage1\.small_share=0\.5: student 'vit_tiny_patch16_224' takes one size of picture"
    ):
        check_stage1(of_one_size, section, 64)
