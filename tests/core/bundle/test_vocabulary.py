"""Words as users give them: any number, blank, twice, in any script."""

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import build_label_bank, load_label_bank
from edgevl_core.bundle.labels import Label, LabelSet
from edgevl_core.bundle.vocabulary import bank_with, check_encoder, check_words, new_words
from tests.core.tiny import colour_bank

pytestmark = pytest.mark.unit
TEMPLATES = ("a photo of {a} {}", "{} from above")


def encode(texts):
    """(N, 8) unit vectors that depend on the letters only."""
    rows = np.array([[sum(map(ord, text)) % (7 + k) + 1 for k in range(8)] for text in texts], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_words_are_tidied_and_kept_in_order():
    assert check_words([" living   room", "台所", "Küche", "Küche"], 4) == ["living room", "台所", "Küche", "Küche"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["room"] * 10_000, r"10000 labels: at most 256 are accepted \(parameter max_labels\)"),
        (["hall", " ", "_"], "label 2, 3 of 3 is blank"),
        (["x" * 101], "has 101 characters: at most 100"),
    ],
)
def test_lists_that_are_none_are_refused(words, reason):
    with pytest.raises(UserError, match=reason):
        check_words(words, 256)


def test_new_words_are_those_without_a_vector_each_once():
    assert new_words(colour_bank(), ["RED", "Pink", "crimson", "台所", "pink", "blue"]) == ["Pink", "台所"]


def test_without_an_encoder_the_bank_stays_as_it_is():
    bank = colour_bank()
    assert bank_with(bank, ["pink"], None) is bank


def test_a_new_word_gets_the_vector_that_training_would_have_given_it(tmp_path):
    labels = tuple(Label(name=name) for name in ("kitchen", "office", "Büro"))
    whole = build_label_bank([LabelSet(templates=TEMPLATES, labels=labels)], encode)
    part = build_label_bank([LabelSet(templates=TEMPLATES, labels=labels[:2])], encode)
    part.save(tmp_path / "bank.npz")
    extended = load_label_bank(tmp_path / "bank.npz").extend(["Büro"], encode)
    assert extended.names == whole.names
    assert extended.prompts[2] == ("a photo of a Büro", "Büro from above")
    np.testing.assert_allclose(extended.vectors, whole.vectors, atol=1e-6)
    assert extended.find("BÜRO") == 2
    assert extended.select(["Büro"]).templates == TEMPLATES


def test_a_bank_without_templates_is_read(tmp_path):
    import io
    import json

    words = json.dumps({"names": ["a"], "prompts": [["a photo of a a"]], "synonyms": [[]]}).encode()
    buffer = io.BytesIO()
    np.savez(buffer, vectors=np.ones((1, 1), np.float32), words=np.frombuffer(words, np.uint8))
    (tmp_path / "bank.npz").write_bytes(buffer.getvalue())
    assert load_label_bank(tmp_path / "bank.npz").templates == ("a photo of {a} {}",)


def test_an_encoder_of_another_teacher_is_noticed():
    bank = build_label_bank([LabelSet(templates=TEMPLATES, labels=(Label(name="kitchen"),))], encode)
    check_encoder(bank, encode)
    with pytest.raises(UserError, match=r"does not reproduce .* 'kitchen' \(cosine -1\.0"):
        check_encoder(bank, lambda texts: -encode(texts))
    with pytest.raises(UserError, match="of 4 dimensions, the label bank has 8"):
        check_encoder(bank, lambda texts: encode(texts)[:, :4])
