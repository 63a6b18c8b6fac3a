"""Channels taken out of a student: it is narrower, trains, is quantised and exported, and can be built again."""

import copy

import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_train.new_student import own_widths
from edgevl_train.pruning.prune import check_prunable, prune
from edgevl_train.quantise.trial import check_student
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student, build_student
from edgevl_train.student.widths import set_widths
from tests.train.conftest import DIM

pytestmark = pytest.mark.train
SIZE_PX = 64


def of(section: StudentSection) -> Student:
    torch.manual_seed(0)
    kept = {"head": section.head, "size_px": section.size_px, "backbone": section.backbone, "widths": section.widths}
    return build_student(section.name, DIM, **kept).eval()


def parameters(student: Student) -> int:
    return sum(parameter.numel() for parameter in student.parameters())


@pytest.mark.parametrize(
    "name", ["resnet10t", "mobilenetv4_conv_small", "mobilenetv2_100", "efficientnet_b0", "mobileone_s0"]
)
def test_what_is_left_is_a_student_that_its_widths_build_again(name: str) -> None:
    section = StudentSection(name=name, size_px=SIZE_PX, head="mlp" if name == "resnet10t" else "linear")
    whole = of(section)
    pruned = prune(whole, 0.3, SIZE_PX)
    assert parameters(pruned) < 0.6 * parameters(whole)
    widths = own_widths(pruned, section)
    again = of(section.model_copy(update={"widths": widths}))
    again.load_state_dict(pruned.state_dict())
    pixels = torch.randint(0, 256, (2, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again(pixels), pruned(pixels))
    assert all(width[0] % 8 == 0 for name, width in widths.items() if "conv" in name and ".se." not in name)
    assert whole.state_dict().keys() == pruned.state_dict().keys()


def test_its_way_to_the_robot_is_tried_with_its_widths() -> None:
    section = StudentSection(name="resnet10t", size_px=SIZE_PX)
    widths = own_widths(prune(of(section), 0.5, SIZE_PX), section)
    check_student(section.model_copy(update={"widths": widths}), DIM)


def test_the_weakest_channels_go() -> None:
    whole = of(StudentSection(name="resnet10t", size_px=SIZE_PX))
    layer = whole.get_submodule("backbone.layer1.0.conv1")
    weak = [1, 5, 6, 12, 20, 33, 40, 41]
    with torch.no_grad():
        for module in (layer, whole.get_submodule("backbone.layer1.0.bn1")):
            module.weight[weak] *= 1e-3  # type: ignore[index, operator]
    pruned = prune(whole, 0.12, SIZE_PX)
    strong = [channel for channel in range(64) if channel not in weak]
    gain = pruned.get_submodule("backbone.layer1.0.bn1").weight
    assert torch.equal(gain, whole.get_submodule("backbone.layer1.0.bn1").weight[strong])  # type: ignore[index]
    assert torch.equal(prune(whole, 0.12, SIZE_PX).get_submodule("head").weight, pruned.get_submodule("head").weight)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("vit_tiny_patch16_224", "backbone has parameters of a VisionTransformer"),
        ("mobilenetv4_hybrid_medium", "layer_scale has parameters of a LayerScale2d"),
        ("resnext26ts", "conv2_kxk.conv has a convolution in 2 groups"),
        ("convnext_atto", "backbone.stem.1 has parameters of a LayerNorm2d"),
    ],
)
def test_what_cannot_be_pruned_is_refused_by_name(name: str, named: str) -> None:
    with pytest.raises(UserError, match=named) as refused:
        check_prunable(build_student(name, DIM))
    assert "\n" not in str(refused.value)


def test_a_share_that_takes_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"prune_share=0\.001: no channel can go"):
        prune(of(StudentSection(name="resnet10t", size_px=SIZE_PX)), 0.001, SIZE_PX)


@pytest.mark.parametrize(
    "widths", [{"backbone.nothing": [8]}, {"head": [DIM, 9999]}, {"head": [DIM]}, {"backbone": [8]}]
)
def test_widths_of_another_network_are_refused(widths: dict[str, list[int]]) -> None:
    student = of(StudentSection(name="resnet10t", size_px=SIZE_PX))
    before = copy.deepcopy(student.state_dict())
    with pytest.raises(UserError, match=r"student\.widths"):
        set_widths(student, widths)
    assert student.state_dict().keys() == before.keys()
