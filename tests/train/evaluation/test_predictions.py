"""What evaluation takes for a model's answer is what the robot would have said."""

import numpy as np
import pytest

from edgevl_core.bundle.manifest import ByModality
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import RgbdPair
from edgevl_train.evaluation.predictions import Embedded, answers
from edgevl_train.evaluation.predictors import bundle_predictor
from tests.core.tiny import colour_image, write_colour_bundle

pytestmark = pytest.mark.unit


def scenes() -> list[RgbdPair]:
    """Clear, dim, dark, and blind in one or both cameras."""
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 5, (24, 32, 3), dtype=np.uint8)
    near, far, blind = (np.full((24, 32), metres, np.float32) for metres in (0.3, 9.0, np.nan))
    holes = far.copy()
    holes[:, 7:] = np.nan
    images = [colour_image("red"), colour_image("green") // 6, colour_image("blue"), dark]
    return [RgbdPair(0, rgb, depth, 0.0, None) for rgb in images for depth in (near, far, holes, blind)]


@pytest.mark.parametrize("rgb_only", [False, True])
def test_answers_are_the_classifiers(rgb_only: bool, tmp_path) -> None:
    """Also those of a first bundle, which knows no depth and in the dark does not look at it either."""
    calibration = {
        "temperature": ByModality(rgb=0.5, depth=3.0, rgbd=1.5),
        "unknown_threshold": ByModality(rgb=0.9, depth=0.4, rgbd=0.6),
    }
    write_colour_bundle(tmp_path / "bundle", **calibration, metrics={"first_bundle": {}} if rgb_only else {})
    predictor = bundle_predictor(tmp_path / "bundle")
    pairs = scenes()
    found = answers(predictor.embed(pairs), predictor.bank.vectors, predictor.logit_scale, **calibration)
    robot = Classifier(load_bundle(tmp_path / "bundle"))
    seen = {
        "rgb": [robot.classify(rgb=pair.rgb) for pair in pairs],
        "depth": [robot.classify(depth=pair.depth_m) for pair in pairs],
        "rgbd": [robot.classify(pair.rgb, pair.depth_m) for pair in pairs],
    }
    assert {scene.modality for scene in seen["rgbd"]} == ({"rgb"} if rgb_only else {"rgb", "depth", "rgbd"})
    for modality, expected in seen.items():
        answer = found[modality]
        assert [predictor.bank.names[row] for row in answer.label] == [scene.label for scene in expected]
        np.testing.assert_allclose(answer.confidence, [scene.confidence for scene in expected], atol=1e-5)
        assert answer.known.tolist() == [scene.known for scene in expected]
        assert len(set(answer.known.tolist())) == 2, "both kinds, or the comparison says little"


def test_what_nobody_sees_has_no_certainty() -> None:
    unit, quality = np.eye(4, dtype=np.float32), np.array([[0, 0, 1, 1], [0, 1, 0, 1]], np.float32)
    embedded = Embedded(unit, unit, quality)
    ones, zeros = ByModality(rgb=1, depth=1, rgbd=1), ByModality(rgb=0, depth=0, rgbd=0)
    found = answers(embedded, unit, 10.0, ones, zeros)
    assert (found["rgb"].certainty > 0).tolist() == [False, False, True, True]
    assert (found["depth"].certainty > 0).tolist() == [False, True, False, True]
    assert (found["rgbd"].certainty > 0).tolist() == found["rgbd"].known.tolist() == [False, True, True, True]
    assert (found["rgb"].confidence > 0.9).all()
