"""The engine's recipe keys: contradictions are refused, all at once; the paper's recipes hold its figures."""

import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.recipe import load_recipe, parse_recipe
from edgevl_train.student.network import build_student
from edgevl_train.training.precision import resolve_precision
from tests.paths import ROOT

pytestmark = pytest.mark.unit
CONFIG = ROOT / "config" / "train"


def test_all_contradictions_are_named_at_once() -> None:
    data = {
        "precision": "16-mixed",
        "accelerator": "cpu",
        "devices": 3,
        "preprocess": {"depth_encoding": "minmax"},
        "depth_augment": {"noise_m_at_1m": 0.01},
        "student": {"size_px": 96},
        "cache": {"size_px": 64},
        "stage1": {"batch": 30},
        "stage2": {"batch": 32},
    }
    with pytest.raises(UserError) as error:
        parse_recipe(data, origin="r")
    message = str(error.value)
    for words in ("cache.size_px 64", "16-mixed", "noise_m_at_1m", "stage2.batch 32 is not a multiple of devices"):
        assert words in message
    assert "stage1.batch" not in message
    assert "\n" not in message


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_rate_that_would_rise_is_refused(stage: str) -> None:
    with pytest.raises(UserError, match=rf"{stage}: min_lr 0.1 is above lr 0.01"):
        parse_recipe({stage: {"lr": 0.01, "min_lr": 0.1}}, origin="r")


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(UserError, match="16-mixed needs a GPU"):
        resolve_precision("16-mixed", "cpu")
    assert resolve_precision("16-mixed", "cuda:1") == "16-mixed"


def test_depthwise_students_train_in_float_on_a_processor() -> None:
    depthwise, plain = (build_student(name, 8) for name in ("mobilenetv4_conv_small", "resnet10t"))
    assert resolve_precision("auto", "cpu", depthwise) == "32-true"
    assert resolve_precision("auto", "cpu", plain) == resolve_precision("auto", "cpu")
    assert resolve_precision("bf16-mixed", "cpu", depthwise) == "bf16-mixed"


@pytest.mark.parametrize("name", ["scannet", "eurosat"])
def test_the_papers_recipes_hold_the_papers_figures(name: str) -> None:
    recipe = load_recipe(CONFIG / f"edgevl_paper_{name}.yaml")
    one, two = recipe.stage1, recipe.stage2
    assert (one.loss, one.epochs, one.batch, one.clip_norm, one.weight_decay) == ("l1", 120, 32, 5.0, 0.05)
    assert (one.lr, one.min_lr, two.lr, two.min_lr) == (1e-4, 5e-6, 1e-6, 5e-7)
    assert (two.epochs, two.margin, two.negatives, two.cross_modal) == (120, 0.3, 3, False)
    assert two.distil_weight > 0
    assert recipe.preprocess.depth_encoding == "minmax"
    assert (recipe.curation.method, recipe.curation.ratio) == ("ratio", 0.25)
    assert (recipe.views.min_scale, recipe.views.max_scale, recipe.views.flip) == (0.08, 1.0, True)
