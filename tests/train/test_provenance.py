"""What a bundle says its student has learned from."""

import json
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.manifest import BagRecord, Provenance
from edgevl_train.provenance import bags_of, learned_before, provenance
from edgevl_train.recipe import dump_recipe, parse_recipe
from tests.core.tiny import write_colour_bundle

MADE = "2025-01-01T00:00:00Z"
KITCHEN, OFFICE, ATTIC = (BagRecord(name=name, sha256=digit * 64, pairs=9) for name, digit in zip("koa", "123"))


def bare_run(folder: Path, bag: BagRecord) -> Path:
    """What a robot sends of a run, without a bundle."""
    folder.mkdir(parents=True)
    (folder / "inputs.json").write_text(json.dumps({"bags": [[bag.name, bag.sha256]]}))
    return folder


def test_what_the_students_before_learned_from_is_told_once(tmp_path: Path) -> None:
    run, bundle, bare = tmp_path / "run", tmp_path / "sent", bare_run(tmp_path / "bare", ATTIC)
    run.mkdir()
    write_colour_bundle(run / "bundle", provenance=Provenance(bags=(KITCHEN, OFFICE), created=MADE))
    write_colour_bundle(bundle, provenance=Provenance(bags=(OFFICE,), created=MADE))
    assert bags_of(run) == (KITCHEN, OFFICE)
    assert bags_of(bundle) == (OFFICE,)
    assert bags_of(bare) == (BagRecord(name="a", sha256=ATTIC.sha256, pairs=0),)

    heir = parse_recipe({"student": {"start_from": run}, "teacher": {"students": [bundle, bare]}}, origin="test")
    merged = parse_recipe({"student": {"merge": [bundle, bare]}}, origin="test")
    assert [bag.name for bag in learned_before(heir)] == ["k", "o", "a"]
    assert [bag.name for bag in learned_before(merged)] == ["o", "a"]
    assert learned_before(parse_recipe({}, origin="test")) == ()

    # A drive that is learned from again counts with its pairs of now.
    again = {"name": "k2", "sha256": KITCHEN.sha256, "pairs": 12, "registered": "unknown", "losses": []}
    told = provenance(heir, [again], learned_before(heir)).bags
    assert [(bag.name, bag.pairs) for bag in told] == [("k2", 12), ("o", 9), ("a", 0)]


def test_what_runs_without_a_bundle_go_back_to_is_followed(tmp_path: Path) -> None:
    """What robots send of a run (docs/fleets.md); and two that began with each other end somewhere."""
    base, kitchen, office = (
        bare_run(tmp_path / name, bag) for name, bag in (("base", ATTIC), ("kitchen", KITCHEN), ("office", OFFICE))
    )
    for run, start in ((kitchen, base), (office, base), (base, kitchen)):
        recipe = parse_recipe({"student": {"start_from": start}}, origin="test")
        (run / "recipe.yaml").write_bytes(dump_recipe(recipe))
    merged = parse_recipe({"student": {"merge": [kitchen, office]}}, origin="test")
    assert [bag.name for bag in learned_before(merged)] == ["k", "a", "o"]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("{", r"inputs\.json is damaged"),
        ('{"bags": 5}', "no list of names and hashes"),
        ('{"bags": [["kitchen"]]}', "no list of names and hashes"),
        ('{"bags": [["kitchen", "no hash"]]}', "no list of names and hashes"),
    ],
)
def test_a_damaged_origin_is_refused(written: str, reason: str, tmp_path: Path) -> None:
    (bare_run(tmp_path / "run", KITCHEN) / "inputs.json").write_text(written)
    with pytest.raises(UserError, match=reason):
        bags_of(tmp_path / "run")
