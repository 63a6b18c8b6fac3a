"""What a build of the cache survives: being killed, damage, a full disk, broken pairs."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import cv2
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, compressed_image_msg, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.data.cache import build_cache, cache_key, find_bags, hash_bag, open_cache
from edgevl_train.data.cache.layout import file_rows
from edgevl_train.data.cache.parts import Parts
from edgevl_train.recipe import Recipe, dump_recipe
from tests.core.bags import DEPTH_TOPIC, RGB_TOPIC, depth_image, rgb_image, stamp
from tests.paths import ROOT
from tests.train.conftest import of_cache

pytestmark = pytest.mark.train
PAIRS = 600  # five blocks
RECIPE = Recipe.model_validate({"student": {"size_px": 32}, "cache": {"size_px": 48}})
SETTINGS = of_cache(RECIPE)
PAIR_BYTES = 6 * (32**2 + 48**2) + 16


def write_bag(path: Path, pairs: int, broken: Collection[int] = ()) -> Path:
    """JPEG and raw depth; ``broken`` pairs have an RGB image that is none."""
    with BagWriter(path) as bag:
        bag.add_topic(RGB_TOPIC, COMPRESSED_IMAGE)
        bag.add_topic(DEPTH_TOPIC, IMAGE)
        for i in range(pairs):
            data = b"no jpeg" if i in broken else cv2.imencode(".jpg", rgb_image(i))[1].tobytes()
            bag.write(RGB_TOPIC, serialize(compressed_image_msg(data, "jpeg", stamp(i), "c")), stamp(i))
            bag.write(DEPTH_TOPIC, serialize(image_msg(depth_image(i), "16UC1", stamp(i), "c")), stamp(i))
    return path


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bags")
    return [write_bag(folder / "long", PAIRS, broken={3, 130}), write_bag(folder / "short", 20)]


@pytest.fixture(scope="module")
def unbroken(bags: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return content(build_cache, bags, tmp_path_factory.mktemp("cache") / "cache")


def content(build: object, bags: list[Path], directory: Path) -> dict[str, bytes]:
    build(bags, directory, *SETTINGS)  # type: ignore[operator]
    return {file.name: file.read_bytes() for file in directory.iterdir()}


class Stopped(Exception):
    pass


def build_until(pairs: int, bags: list[Path], directory: Path) -> None:
    """A build that ends, as by a signal, once so many pairs are stored."""

    def stop(done: int, total: int, message: str) -> None:
        if done >= pairs:
            raise Stopped

    with pytest.raises(Stopped):
        build_cache(bags, directory, *SETTINGS, stop)


@pytest.mark.parametrize("pairs", [1, 300, PAIRS - 2, PAIRS + 18])
def test_a_build_that_was_cut_off_goes_on_to_the_same_bytes(
    pairs: int, bags: list[Path], unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    build_until(pairs, bags, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    seen: list[int] = []
    cache = build_cache(bags, tmp_path / "cache", *SETTINGS, lambda done, *_: seen.append(done))
    assert all(done > pairs for done in seen)  # what was done is not done again
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()} == unbroken
    assert not list(tmp_path.glob(".cache*"))
    assert len(open_cache(tmp_path / "cache", verify=True)) == len(cache) == PAIRS + 18


def test_a_killed_process_loses_no_finished_block(bags: list[Path], unbroken: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(dump_recipe(RECIPE))
    code = (
        "import sys, time; from pathlib import Path; from edgevl_train.data.cache import build_cache; "
        "from edgevl_train.recipe import load_recipe; recipe = load_recipe(sys.argv[2]); "
        "build_cache([Path(p) for p in sys.argv[3:]], Path(sys.argv[1]), recipe.robot_preprocess(), recipe.cache, "
        "lambda *_: (print('block', flush=True), time.sleep(0.2)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), str(tmp_path / "recipe.yaml"), *map(str, bags)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() + child.stdout.readline() == b"block\nblock\n"
        with pytest.raises(UserError, match="being built by another process"):
            build_cache(bags, tmp_path / "cache", *SETTINGS)
        child.send_signal(signal.SIGKILL)
    seen: list[int] = []
    build_cache(bags, tmp_path / "cache", *SETTINGS, lambda done, *_: seen.append(done))
    assert seen[0] > 2 * 126
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()} == unbroken


def damage_a_block(staging: Path) -> None:
    file = staging / "wide_depth.u8"
    data = bytearray(file.read_bytes())
    data[200 * 48 * 48 * 3] ^= 1  # in the second block
    file.write_bytes(data)


def lose_the_end_of_a_file(staging: Path) -> None:
    with (staging / "full_rgb.u8").open("r+b") as file:
        file.truncate(260 * 32 * 32 * 3)


def tear_the_journal(staging: Path) -> None:
    with (staging / "journal.jsonl").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 7)


@pytest.mark.parametrize("damage", [damage_a_block, lose_the_end_of_a_file, tear_the_journal])
def test_what_a_power_cut_has_spoilt_is_made_again(
    damage: object, bags: list[Path], unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    build_until(500, bags, tmp_path / "cache")
    damage(tmp_path / ".cache.building")  # type: ignore[operator]
    assert content(build_cache, bags, tmp_path / "cache") == unbroken


def test_parts_of_other_bags_are_thrown_away(bags: list[Path], unbroken: dict[str, bytes], tmp_path: Path) -> None:
    build_until(1, bags[::-1], tmp_path / "cache")
    (tmp_path / ".cache.building/left_over.u8").write_bytes(b"x")
    assert content(build_cache, bags, tmp_path / "cache") == unbroken


def test_the_number_of_threads_does_not_change_the_bytes(
    bags: list[Path], unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    robot, section = SETTINGS
    build_cache(bags, tmp_path / "cache", robot, section.model_copy(update={"workers": 1}))
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()} == unbroken


def test_broken_pairs_are_skipped_listed_and_counted(bags: list[Path], tmp_path: Path) -> None:
    cache = build_cache(bags, tmp_path / "cache", *SETTINGS)
    long, short = cache.index["bags"]
    assert len(cache) == PAIRS - 2 + 20
    assert stamp(3) not in cache.stamp_ns[cache.bag == 0]
    assert [fault["stamp_ns"] for fault in long["unreadable"]] == [stamp(3), stamp(130)]
    assert all(fault["reason"].startswith("rgb: format 'jpeg'") for fault in long["unreadable"])
    assert (long["pairs"], long["dropped"]) == (PAIRS - 2, {"rgb unreadable": 2})
    assert (short["pairs"], short["dropped"], short["unreadable"]) == (20, {}, [])


@pytest.mark.parametrize(("broken", "refused"), [(1, False), (2, True), (20, True)])
def test_more_than_a_twentieth_broken_is_refused(broken: int, refused: bool, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 20, broken=range(broken))
    if not refused:
        assert len(build_cache([bag], tmp_path / "cache", *SETTINGS)) == 19
        return
    with pytest.raises(UserError, match=rf"{broken} of the first 20 pairs.*5%.*rgb: format 'jpeg'") as error:
        build_cache([bag], tmp_path / "cache", *SETTINGS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_a_disk_that_is_too_small_is_said_before_anything_is_decoded(bags: list[Path], tmp_path: Path) -> None:
    needed = (PAIRS + 20) * PAIR_BYTES
    with pytest.raises(UserError, match=rf"{needed} bytes more are needed.*{needed - 1} are free") as error:
        build_cache(bags, tmp_path / "cache", *SETTINGS, free=lambda _: needed - 1)
    assert "\n" not in str(error.value)
    build_until(1, bags, tmp_path / "cache")
    less = needed - 128 * PAIR_BYTES  # what is there already needs no room
    assert len(build_cache(bags, tmp_path / "cache", *SETTINGS, free=lambda _: less)) == PAIRS + 18


@pytest.mark.parametrize("name", ["wide_rgb.u8", "stamp_ns.i64"])
def test_a_disk_that_fills_up_on_the_way_is_one_clear_line(name: str, bags: list[Path], tmp_path: Path) -> None:
    """/dev/full is Linux's device that has no room for anything."""
    needed, staging = (PAIRS + 20) * PAIR_BYTES, tmp_path / ".cache.building"
    staging.mkdir()
    (staging / name).symlink_to("/dev/full")
    with pytest.raises(
        UserError, match=rf"{needed} bytes more are needed.* {needed + 1} are free.*so far is kept"
    ) as error:
        build_cache(bags, tmp_path / "cache", *SETTINGS, free=lambda _: needed + 1)
    assert getattr(error.value.__cause__, "errno", None) == errno.ENOSPC
    assert "\n" not in str(error.value)


def test_a_file_that_may_grow_no_further_is_one_clear_line(bags, files_of_at_most, tmp_path) -> None:
    """A quota of the process, EFBIG."""
    with files_of_at_most(20_000), pytest.raises(UserError, match=r"bytes more are needed.*so far is kept"):
        build_cache(bags, tmp_path / "cache", *SETTINGS)


def test_parts_hold_their_key_and_rows(bags: list[Path], tmp_path: Path) -> None:
    key = cache_key([hash_bag(bag) for bag in bags], *SETTINGS)
    assert sum(row.bytes for row in file_rows({"full": 32, "wide": 48}).values()) == PAIR_BYTES
    build_until(1, bags, tmp_path / "cache")
    with Parts(tmp_path / "cache", key, file_rows({"full": 32, "wide": 48})) as parts:
        assert len(parts) == 127
    with Parts(tmp_path / "cache", "another", file_rows({"full": 32, "wide": 48})) as parts:
        assert len(parts) == 0


def test_bags_are_named_by_paths_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/drive_2", "b/drive_10", "b/other", "a/drive_1", "odd[1]"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_bags(["b/other", "b/drive_*"]) == [Path("b/other"), Path("b/drive_10"), Path("b/drive_2")]
    assert find_bags([tmp_path / "**/drive_1"]) == [tmp_path / "a/drive_1"]
    assert find_bags(["odd[1]", Path("missing")]) == [
        Path("odd[1]"),
        Path("missing"),
    ]  # the reader names what is missing
    with pytest.raises(UserError, match=r"bags 'c/\*': the pattern matches nothing"):
        find_bags(["b/*", "c/*"])
    with pytest.raises(UserError, match="no bags given"):
        find_bags([])
