"""A bundle from elsewhere runs in a process of its own before it runs in a command's, whichever command it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="some of these commands belong to the workstation")

from edgevl_cli.benchmark.files import bundle as benchmarked
from edgevl_cli.main import app
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.files import STUDENT_INT8
from edgevl_core.bundle.self_test import open_untrusted
from edgevl_core.offload.halves import load_back, load_halves
from edgevl_train.evaluation.predictors import load_predictor
from edgevl_train.restore import earlier_bundle
from edgevl_train.split.judge import judge
from tests.core.bundle.hostile import add_memory
from tests.core.offload.cut_student import BUNDLE, write_cut
from tests.core.offload.cut_student import reseal as reseal_cut
from tests.core.tiny import reseal

pytestmark = pytest.mark.train
LIT = resource("quick/lit")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``RUN/bundle``: its hashes are right and its answers too, but each of them takes gigabytes on the way."""
    bundle = tmp_path_factory.mktemp("run") / "bundle"
    shutil.copytree(BUNDLE, bundle)
    add_memory(bundle / STUDENT_INT8)
    reseal(bundle)
    return bundle


def command(*words: object) -> Callable[[Path], object]:
    """The command line with the bundle in the place of BUNDLE."""
    return lambda bundle: app([str(bundle if word is BUNDLE else word) for word in words], standalone_mode=False)


@pytest.mark.parametrize(
    "opened",
    [
        open_untrusted,
        command("classify", LIT, "--bundle", BUNDLE),
        command("map", LIT, "--bundle", BUNDLE, "--out", "rooms"),
        command("split", BUNDLE),
        benchmarked,
        lambda bundle: load_predictor(bundle, None),
        lambda bundle: judge(bundle, None, [LIT]),
        lambda bundle: earlier_bundle(bundle.parent),
    ],
    ids=["library", "classify", "map", "split", "benchmark", "evaluate", "judge", "start_from"],
)
def test_what_takes_too_much_is_refused_before_it_runs_here(
    opened: Callable[[Path], object], heavy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"student\.onnx(: its self-test ended| fails when it is run)"):
        opened(heavy)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("half", ["front", "back"])
def test_so_are_the_halves_of_a_cut_student(half: str, tmp_path: Path) -> None:
    cut = write_cut(tmp_path / "cut")
    add_memory(cut / f"{half}.onnx")
    reseal_cut(cut)
    for load in (load_back, load_halves):
        with pytest.raises(UserError, match=r"cut: its self-test ended|back\.onnx fails when it is run"):
            load(cut)
