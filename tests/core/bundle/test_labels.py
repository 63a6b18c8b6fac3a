"""Label files and the label bank."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import build_label_bank, load_label_bank
from edgevl_core.bundle.labels import LabelSet, fill_template, label_file, load_labels
from edgevl_core.bundle.manifest import plain_text
from tests.core.tiny import colour_bank
from tests.paths import ROOT

pytestmark = pytest.mark.unit
CONFIG = ROOT / "config" / "labels"
ROOMS = (
    *("kitchen", "bathroom", "bedroom", "living room"),
    *("dining room", "office", "hallway", "laundry room"),
)


def test_home_names_the_eight_rooms():
    assert load_labels(CONFIG / "home.yaml").names == ROOMS


def test_the_supersets_hold_the_rooms_and_as_many_places_as_they_should():
    indoor, satellite = (load_labels(f"{kind}_superset") for kind in ("indoor", "satellite"))
    assert set(ROOMS) <= set(indoor.names)
    assert 45 <= len(indoor.names) <= 60
    assert 35 <= len(satellite.names) <= 45
    for names in (indoor.names, satellite.names):
        assert len({name.removesuffix("s") for name in names}) == len(names)


SHIPPED = sorted(CONFIG.glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_file_has_plain_names_that_differ_beyond_case_and_accents(file):
    labels = load_labels(file)
    taken: dict[str, str] = {}
    for label in labels.labels:
        assert re.fullmatch(r"[a-z]+(?:[ /'-][a-z]+)*", label.name)
        for word in (label.name, *label.synonyms):
            bare = "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if c.isalnum())
            assert taken.setdefault(bare, label.name) == label.name


@pytest.mark.parametrize(
    ("name", "count", "text"),
    [
        ("scannet", 21, "a photo of a mail room"),
        ("sunrgbd", 19, "a photo of an office"),
        ("nyuv2", 27, "a photo of an indoor balcony"),
        ("eurosat", 10, "a satellite image of an annual crop field"),
    ],
)
def test_a_data_sets_labels_and_their_prompts(name, count, text):
    labels = load_labels(name)
    texts = [text for label in labels.labels for text in labels.texts(label)]
    assert len(labels.names) == count
    assert text in texts
    assert not any("/" in text or "_" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "spelling", "label"),
    [
        ("scannet", "Bedroom / Hotel", "bedroom/hotel"),
        ("scannet", "ComputerCluster", "computer cluster"),
        ("scannet", "Misc.", "misc"),
        ("sunrgbd", "rest_space", "rest space"),
        ("nyuv2", "excercise_room", "exercise room"),
        ("eurosat", "SeaLake", "sea or lake"),
    ],
)
def test_a_data_sets_own_spelling_finds_its_label(name, spelling, label):
    bank = build_label_bank([load_labels(name)], _encode)
    assert bank.names[bank.find(spelling)] == label


def test_a_shipped_set_is_found_by_name_and_a_wrong_name_lists_them(tmp_path, monkeypatch):
    assert label_file("home") == CONFIG / "home.yaml"
    assert label_file(tmp_path / "home") == tmp_path / "home"
    with pytest.raises(UserError, match=r"'hoem'.*eurosat, home, indoor_superset"):
        load_labels("hoem")
    monkeypatch.chdir(tmp_path)
    Path("home").mkdir()  # a bag that `edgevl sim --out home` made
    assert load_labels("home").names == ROOMS
    Path("home").rmdir()
    Path("home").write_text("labels: [cave]")
    assert load_labels("home").names == ("cave",)


@pytest.mark.parametrize(
    ("template", "name", "text"),
    [
        ("a photo of {a} {}", "office", "a photo of an office"),
        ("a photo of {a} {}", "kitchen", "a photo of a kitchen"),
        ("{}", "Attic", "Attic"),
    ],
)
def test_templates_get_the_right_article(template, name, text):
    assert fill_template(template, name) == text


def test_own_prompts_come_after_the_templates(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text('labels: [{name: gym, prompts: ["people train here"]}, attic]')
    labels = load_labels(path)
    assert labels.texts(labels.labels[0]) == ["a photo of a gym", "people train here"]
    assert labels.names == ("gym", "attic")


def test_words_stand_for_the_name_in_templates(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text("labels: [{name: copy/mail room, words: [copy room, office]}]")
    labels = load_labels(path)
    assert labels.texts(labels.labels[0]) == ["a photo of a copy room", "a photo of an office"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no labels"),
        ("labels: []", "has no labels"),
        ("labels: [kitchen, Kitchen]", "'kitchen' occurs more than once"),
        ("labels: [{name: hall, synonyms: [lobby]}, {name: LOBBY}]", "'lobby' occurs more than once"),
        ("labels: [living_room, living  room]", "'living room' occurs more than once"),
        ("labels: [café, {name: bar, synonyms: [cafe\u0301]}]", "'café' occurs more than once"),
        ("labels: [{name: hall, prompt: x}]", "labels.0.prompt"),
        ("labels: [' ']", "blank"),
        ("labels: [hall, yes]", "labels.1.name: True is no word (yes, on or true without quotes): quote it"),
        ("labels: [2]", "labels.0.name: 2 is no word"),
        ("labels: [{name: hall, synonyms: [off]}]", "labels.0.synonyms.0: False is no word (no, off or false"),
        ("labels: [{name: hall, synonyms: ['']}]", "synonyms of 'hall' one is blank"),
        ("labels: [{name: hall, prompts: [' ']}]", "synonyms of 'hall' one is blank"),
        ('labels: ["ha\\all"]', "labels.yaml: 'ha ll': text without control characters"),
        (f"labels: [{'long' * 251}]", "of at most 1000 characters"),
        (f"labels: [{'long' * 200}]\ntemplates: ['{'photo ' * 40}{{}}']", "of at most 1000 characters"),
        ("labels: [hall]\ntemplates: [a photo]", "have no '{}'"),
        ("labels: [hall]\ntemplates: []", "have no '{}'"),
        ("labels: [hall", "is not YAML"),
        ("labels: [hall]\nlabels: [attic]", "key 'labels' is given twice"),
        ("labels: 3", "labels.yaml: labels"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_labels(path)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_white_space_is_tidied(tmp_path):
    """A block of YAML ends in a line break, which no bundle takes: it was found out after the training."""
    path = tmp_path / "labels.yaml"
    block = "|\n    a photo of a gym\n    in a hotel\n"
    path.write_text(f'templates:\n  - >\n    a  {{}}\nlabels:\n- name: "fitness\\troom"\n  prompts:\n  - {block}')
    labels = load_labels(path)
    assert labels.names == ("fitness room",)
    assert labels.texts(labels.labels[0]) == ["a fitness room", "a photo of a gym in a hotel"]


TEXT = st.text(st.sampled_from("a_ \n\t\x07\x85\u2028é$'{}"), max_size=6)
TEXTS = st.lists(TEXT, max_size=2)
LABEL = st.one_of(TEXT, st.fixed_dictionaries({"name": TEXT, "prompts": TEXTS, "synonyms": TEXTS, "words": TEXTS}))


@settings(max_examples=150, deadline=None)
@given(templates=st.lists(TEXT.map("{} ".__add__), min_size=1, max_size=2), labels=st.lists(LABEL, max_size=2))
@example(templates=["{}" * 400], labels=["long"])
@example(templates=["{}" + "a" * 999], labels=["a"])
@example(templates=["{}"], labels=["\ud800"])
def test_what_is_accepted_can_stand_in_a_bundle(tmp_path_factory, templates, labels):
    """Else it is found out after the training."""
    path = tmp_path_factory.mktemp("labels") / "labels.yaml"
    path.write_text(yaml.safe_dump({"templates": templates, "labels": labels}))
    try:
        found = load_labels(path)
    except UserError:
        return
    bank = build_label_bank([found], _encode)
    bank.save(path.with_suffix(".npz"))
    assert load_label_bank(path.with_suffix(".npz")).names == found.names
    assert tuple(map(plain_text, found.names)) == found.names  # as the manifest checks them


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_labels(tmp_path / "none.yaml")


def _encode(texts: list[str]) -> np.ndarray:
    vectors = np.array([[len(text), text.count("a") + 1, 1.0] for text in texts], np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_bank_vectors_are_means_of_unit_vectors_of_unit_length():
    labels = LabelSet.model_validate({"templates": ["{}", "a {}"], "labels": [{"name": "gym"}, {"name": "bar"}]})
    bank = build_label_bank([labels], _encode)
    mean = _encode(["bar", "a bar"]).mean(axis=0)
    np.testing.assert_allclose(bank.vectors[1], mean / np.linalg.norm(mean), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(bank.vectors, axis=1), 1, rtol=1e-6)
    assert bank.prompts[0] == ("gym", "a gym")


def test_a_later_set_only_adds_words_that_are_not_taken():
    own = LabelSet.model_validate({"labels": [{"name": "lounge", "synonyms": ["living room"]}]})
    superset = LabelSet.model_validate({"labels": [{"name": "Living Room"}, {"name": "gym"}]})
    assert build_label_bank([own, superset], _encode).names == ("lounge", "gym")


def test_both_shipped_files_make_one_bank():
    files = [load_labels(CONFIG / name) for name in ("home.yaml", "indoor_superset.yaml")]
    bank = build_label_bank(files, _encode)
    assert bank.names[:8] == ROOMS
    assert len(bank.names) == len(files[1].names)


def test_bank_round_trip(tmp_path):
    bank = colour_bank()
    bank.save(tmp_path / "bank.npz")
    read = load_label_bank(tmp_path / "bank.npz")
    assert (read.names, read.prompts, read.synonyms) == (bank.names, bank.prompts, bank.synonyms)
    np.testing.assert_array_equal(read.vectors, bank.vectors)


def test_bank_finds_names_and_synonyms_in_any_case():
    bank = colour_bank()
    assert [bank.find(word) for word in (" RED", "Crimson", "pink")] == [0, 0, None]
    assert bank.select(["blue", "crimson"]).names == ("blue", "red")
    with pytest.raises(UserError, match=r"\['pink'\]"):
        bank.select(["pink"])


def test_a_damaged_bank_is_refused(tmp_path):
    (tmp_path / "bank.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="cannot be read"):
        load_label_bank(tmp_path / "bank.npz")
    np.savez(tmp_path / "other.npz", vectors=np.zeros((2, 3)))
    with pytest.raises(UserError, match="cannot be read"):
        load_label_bank(tmp_path / "other.npz")
