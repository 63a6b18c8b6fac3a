"""Images in, words out: probabilities, fusion by quality, labels changed at run time."""

from functools import partial

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import depth_quality, mix, probabilities, rgb_quality
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.bundle.text_encoder import OnnxTextEncoder
from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_core.classify.classifier import Classifier, UnknownLabels
from edgevl_core.classify.smoothing import Smoother
from tests.core.tiny import COLOURS, colour_bank, colour_image, write_colour_bundle
from tests.core.tiny_text import write_speaking_bundle

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "bundle"
    write_colour_bundle(path)
    return load_bundle(path)


@pytest.fixture
def classifier(bundle):
    return Classifier(bundle)


DARK = np.random.default_rng(0).integers(0, 5, (24, 32, 3), dtype=np.uint8)
FAR = np.full((24, 32), 9.0, np.float32)  # metric code (230, 6, 255)
BLIND = np.full((24, 32), np.nan, np.float32)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_nearest_label_wins(classifier, colour):
    scene = classifier.classify(rgb=colour_image(colour))
    assert scene.label == scene.labels[0] == colour
    assert scene.confidence == scene.scores[0] == max(scene.scores)
    assert list(scene.scores) == sorted(scene.scores, reverse=True)
    assert sum(scene.scores) == pytest.approx(1, abs=1e-6)
    assert set(scene.labels) == set(COLOURS)
    assert scene.modality == "rgb"
    assert scene.known
    assert np.linalg.norm(scene.embedding) == pytest.approx(1, abs=1e-6)


def test_probabilities_follow_scale_and_temperature(classifier, bundle):
    scene = classifier.classify(rgb=colour_image("red"))
    logits = 5.0 * bundle.label_bank.vectors @ scene.embedding
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(sorted(scene.scores), sorted(expected), rtol=1e-5)
    cooler = probabilities(scene.embedding, bundle.label_bank.vectors, 5.0, 10.0)
    assert cooler.max() < max(scene.scores)


def test_both_cameras_are_fused_when_both_see(classifier):
    scene = classifier.classify(rgb=colour_image("red"), depth=FAR)
    assert scene.modality == "rgbd"
    assert np.linalg.norm(scene.embedding) == pytest.approx(1, abs=1e-6)
    red = classifier.classify(rgb=colour_image("red")).embedding
    far = classifier.classify(depth=FAR).embedding
    np.testing.assert_allclose(scene.embedding, (red + far) / np.linalg.norm(red + far), atol=1e-5)


def test_a_blind_camera_is_left_out_and_said_so(classifier):
    in_the_dark = classifier.classify(rgb=DARK, depth=FAR)
    assert in_the_dark.modality == "depth"
    np.testing.assert_array_equal(in_the_dark.embedding, classifier.classify(depth=FAR).embedding)
    without_depth = classifier.classify(rgb=colour_image("blue"), depth=BLIND)
    assert (without_depth.modality, without_depth.label) == ("rgb", "blue")


def test_what_nobody_sees_is_never_known(classifier):
    assert not classifier.classify(rgb=DARK).known
    both = classifier.classify(rgb=DARK, depth=BLIND)
    assert (both.modality, both.known) == ("rgbd", False)
    assert np.isfinite(both.confidence)


def test_unknown_below_the_threshold(tmp_path):
    write_colour_bundle(tmp_path / "strict", threshold=0.999999)
    scene = Classifier(load_bundle(tmp_path / "strict")).classify(rgb=colour_image("red"))
    assert (scene.label, scene.known) == ("red", False)


def test_no_image_is_refused(classifier):
    with pytest.raises(UserError, match="neither"):
        classifier.classify()
    with pytest.raises(UserError, match="no images"):
        classifier.embed([])


def test_what_is_no_image_of_that_camera_is_refused(classifier):
    for wrong in ({"rgb": FAR}, {"depth": colour_image("red")}):
        with pytest.raises(UserError, match="swap them"):
            classifier.classify(**wrong)
    with pytest.raises(UserError, match=r"'kitchen.jpg' is no numpy array: read a picture file with .*read_photo"):
        classifier.classify("kitchen.jpg")
    with pytest.raises(UserError, match=r"shape \(24, 32, 4\) and type uint8: RGB"):
        classifier.classify(np.zeros((24, 32, 4), np.uint8))


def test_embed_takes_both_kinds(classifier, bundle):
    images = [colour_image("red"), FAR]
    embeddings = classifier.embed(images)
    assert embeddings.shape == (2, 3)
    np.testing.assert_allclose(embeddings[1], classifier.classify(depth=FAR).embedding, atol=1e-6)


def test_labels_change_between_two_frames(classifier):
    assert classifier.label_set_version == 1
    change = classifier.set_labels(["BLUE", "Crimson", "red"])
    assert (change.effective, change.version) == (("blue", "red"), 2)
    assert "1 repeated" in change.message
    assert classifier.classify(rgb=colour_image("red")).labels == ("red", "blue")
    assert classifier.labels == ("blue", "red")


def test_the_last_frame_is_named_again_by_other_words(classifier):
    assert classifier.reclassify() is None
    first = classifier.classify(rgb=colour_image("red"), depth=FAR)
    assert (classifier.reclassify().scores, classifier.reclassify().modality) == (
        first.scores,
        "rgbd",
    )
    classifier.set_labels(["green", "blue"])
    again = classifier.reclassify()
    assert set(again.labels) == {"green", "blue"}
    np.testing.assert_array_equal(again.embedding, first.embedding)


def test_unknown_words_change_nothing(classifier):
    before = classifier.labels
    with pytest.raises(UnknownLabels, match="pink, teal; this bundle knows red, green, blue and has no") as refused:
        classifier.set_labels(["red", "pink", "teal"])
    assert refused.value.words == ("pink", "teal")
    assert (classifier.labels, classifier.label_set_version) == (before, 1)


def test_no_words_change_nothing(classifier):
    before = classifier.labels
    with pytest.raises(UserError, match="at least one is needed"):
        classifier.set_labels([])
    assert (classifier.labels, classifier.label_set_version) == (before, 1)


def test_a_single_label_is_allowed_with_a_warning(classifier):
    assert "single label" in classifier.set_labels(["red"]).message
    assert classifier.classify(rgb=colour_image("blue")).confidence == 1


def test_starts_with_the_labels_the_bundle_was_made_for(tmp_path):
    write_colour_bundle(tmp_path / "two", labels=["blue", "red"])
    classifier = Classifier(load_bundle(tmp_path / "two"))
    assert classifier.labels == ("blue", "red")
    assert classifier.set_labels(["green"]).effective == ("green",)


def test_starting_with_unknown_labels_is_an_error(bundle):
    assert Classifier(bundle, ["green"]).labels == ("green",)
    with pytest.raises(UserError, match="pink"):
        Classifier(bundle, ["pink"])


def test_the_answer_to_one_frame_does_not_change_with_the_next(classifier):
    first = classifier.classify(rgb=colour_image("red"))
    kept = first.embedding.copy()
    classifier.classify(rgb=colour_image("blue"))
    np.testing.assert_array_equal(first.embedding, kept)


# -- smoothing and new words -----------------------------------------------------------------------------


def test_a_label_in_force_is_the_answer_and_confidence_is_its_smoothed_score(classifier):
    smoother = Smoother(smoothing_s=1.0, hysteresis=0.9)
    first = classifier.classify(rgb=colour_image("red"), choose=partial(smoother.update, 0))
    later = classifier.classify(rgb=colour_image("blue"), choose=partial(smoother.update, 1_900_000_000))
    assert first.label == later.label == "red"
    assert later.labels[0] == "blue"
    assert later.confidence == later.scores[later.labels.index("red")]
    weight = 1 - np.exp(-1.9)
    alone = classifier.classify(rgb=colour_image("blue"))
    expected = first.confidence + weight * (alone.scores[alone.labels.index("red")] - first.confidence)
    assert later.confidence == pytest.approx(expected, abs=1e-6)
    assert sum(later.scores) == pytest.approx(1, abs=1e-6)
    assert list(later.scores) == sorted(later.scores, reverse=True)


def test_a_frame_that_shows_nothing_leaves_no_trace_in_smoothing(classifier):
    smoother = Smoother(smoothing_s=1.0)
    before = classifier.classify(rgb=colour_image("red"), choose=partial(smoother.update, 0))
    dark = classifier.classify(rgb=DARK, choose=partial(smoother.update, 100_000_000))
    after = classifier.classify(rgb=colour_image("red"), choose=partial(smoother.update, 200_000_000))
    assert dark.scores == classifier.classify(rgb=DARK).scores
    assert not dark.known
    np.testing.assert_allclose(before.scores, after.scores, atol=1e-6)


def test_a_larger_bank_brings_new_words_between_two_frames(classifier):
    bank = colour_bank()
    pink = np.array([[1.0, 0.2, 0.4]], np.float32)
    larger = bank.extend(["Pink"], lambda texts: np.repeat(pink / np.linalg.norm(pink), len(texts), axis=0))
    change = classifier.set_labels(["blue", "pink"], larger)
    assert (change.effective, change.version) == (("blue", "Pink"), 2)
    assert classifier.classify(rgb=colour_image("red")).label == "Pink"
    assert classifier.set_labels(["pink"]).effective == ("Pink",)  # remembered


def test_words_of_the_bank_and_other_words_lie_where_pictures_do(tmp_path):
    bundle = load_bundle(write_speaking_bundle(tmp_path / "bundle", tuple(COLOURS)))
    classifier = Classifier(bundle, ["red", "hall"])
    assert classifier.labels == ("red", "hall")
    vectors = classifier.embed_words(["blue", "hall", "garage"])
    np.testing.assert_array_equal(vectors[0], bundle.label_bank.vectors[2])
    np.testing.assert_allclose(vectors[2], OnnxTextEncoder(bundle.text_encoder)(["a photo of a garage"])[0], atol=1e-6)
    assert classifier.set_labels(["garage", "GREEN"]).effective == ("garage", "green")
    assert set(classifier.classify(rgb=colour_image("red")).labels) == {"garage", "green"}


def test_quality_is_between_nothing_and_one():
    p = Preprocess(size_px=16)
    assert rgb_quality(to_input(DARK, p)) == 0
    assert rgb_quality(np.full((16, 16, 3), 200, np.uint8)) == 0  # no contrast: a covered lens
    assert rgb_quality(to_input(colour_image("green"), p)) == 1
    dim = to_input(colour_image("green") // 8, p)
    assert 0 < rgb_quality(dim) < 1
    ratio = FAR.copy()
    ratio[:, 8:] = np.nan
    assert depth_quality(to_input(BLIND, p)) == 0
    assert 0 < depth_quality(to_input(ratio, p)) < 1
    assert depth_quality(to_input(FAR, p)) == 1


def test_quality_takes_batches():
    batch = np.stack([np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 9, np.uint8)])
    assert depth_quality(batch).tolist() == [0, 1]
    assert rgb_quality(batch).shape == (2,)


def test_mixture_is_the_weighted_mean():
    embeddings = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(mix(embeddings, np.array([3, 1], np.float32)), [0.75, 0.25])
    np.testing.assert_allclose(mix(embeddings, np.array([0, 1], np.float32)), [0, 1])
    np.testing.assert_allclose(mix(embeddings, np.zeros(2, np.float32)), [0.5, 0.5])
    batched = mix(np.stack([embeddings, embeddings[::-1]]), np.array([[1, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(batched, [[1, 0], [1, 0]])
