"""Retention: the oldest closed logs of ours go, no more than needed, and nothing else ever."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog import retention
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.retention import MARK, StoredLog, make_room, plan_removal, stored_logs
from edgevl_core.pairlog.types import IMAGE
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import RGB_TOPIC, add_pair, add_topics, write_bag

pytestmark = pytest.mark.unit

LOGS = st.lists(
    st.builds(
        lambda number, size, written, in_use: (number, size, written, in_use),
        st.integers(0, 10**6),
        st.integers(0, 1000),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda log: log[0],
).map(lambda logs: [StoredLog(Path(f"log_{n}"), size, written, in_use) for n, size, written, in_use in logs])


@given(LOGS, st.integers(-100, 4000))
def test_the_plan_takes_the_oldest_and_no_more_than_needed(logs: list[StoredLog], budget: int) -> None:
    chosen = plan_removal(logs, budget)
    assert not any(log.in_use for log in chosen)
    kept = [log for log in logs if log not in chosen]
    rest = sum(log.bytes for log in kept)
    assert rest <= budget or all(log.in_use for log in kept)
    if chosen:
        assert rest + chosen[-1].bytes > budget  # without the last one it would not have been enough
        newest = max(log.written_ns for log in chosen)
        assert all(log.in_use or log.written_ns >= newest for log in kept)


def write_log(directory: Path, name: str, age: int, pairs: int = 5, **options: object) -> Path:
    """A marked log, last written ``age`` hours ago."""
    path = directory / name
    with BagWriter(path, **options) as bag:  # type: ignore[arg-type]
        bag.describe(MARK, {"log_scale": "1"})
        add_topics(bag)
        for number in range(pairs):
            add_pair(bag, number)
    for file in path.iterdir():
        os.utime(file, ns=(0, (1_000_000 - age) * 3_600_000_000_000))
    return path


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*.mcap"))


def test_the_oldest_logs_go(tmp_path: Path) -> None:
    old, older, new = (write_log(tmp_path, name, age) for name, age in (("old", 2), ("older", 3), ("new", 1)))
    assert make_room(tmp_path, 10**9) == []
    (removed,) = make_room(tmp_path, size(old) + size(new))
    assert removed.path == older
    assert removed.bytes > 0
    assert sorted(tmp_path.iterdir()) == [new, old]
    assert [log.path for log in make_room(tmp_path, size(new))] == [old]
    with BagReader(new) as reader:
        assert reader.losses == []


def test_the_log_being_written_stays_and_can_go_once_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with BagWriter(path) as bag:
        bag.describe(MARK, {})
        bag.add_topic(RGB_TOPIC, IMAGE)
        bag.sync()
        (log,) = stored_logs(tmp_path)
        assert log.in_use
        assert make_room(tmp_path, 0) == []
        assert path.exists()
    assert [log.path for log in make_room(tmp_path, 0)] == [path]


def foreign(directory: Path) -> list[Path]:
    """Everything that is no log of ours, or one that the user has marked as his."""
    write_bag(directory / "simulated", 2)  # a bag of edgevl, but none of pair_logger
    (write_log(directory, "logged", 1)).rename(directory / "renamed")
    (write_log(directory, "noted", 1) / "notes.txt").write_text("the new kitchen")
    (write_log(directory, "below", 1) / "folder").mkdir()
    (write_log(directory, "linked", 1) / "linked_1.mcap").symlink_to(directory / "simulated/simulated_0.mcap")
    (directory / "link").symlink_to(write_log(directory, "elsewhere/link", 1), target_is_directory=True)
    (directory / "empty").mkdir()
    (directory / "broken").mkdir()
    (directory / "broken/broken_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (directory / "file.mcap").write_bytes(b"none")
    return sorted(directory.rglob("*"))


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    before = foreign(tmp_path)
    assert stored_logs(tmp_path) == []
    assert make_room(tmp_path, 0) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("compression", list(CompressionType))
def test_a_bag_of_another_recorder_stays_however_damaged(tmp_path: Path, compression: CompressionType) -> None:
    """Such a bag begins with a chunk, which is not unpacked."""
    whole = BytesIO()
    writer = Writer(whole, chunk_size=100_000, compression=compression)
    writer.start(profile="ros2", library="rosbag2")
    channel = writer.register_channel(RGB_TOPIC, "cdr", writer.register_schema(IMAGE, "ros2msg", b"x"))
    for number in range(20):
        writer.add_message(channel, number, bytes(range(256)), number)
    writer.finish()
    bag = tmp_path / "recorded/recorded_0.mcap"
    bag.parent.mkdir()
    for start in range(0, 240, 8):
        damaged = bytearray(whole.getvalue())
        damaged[start : start + 8] = bytes(byte ^ 0xFF for byte in damaged[start : start + 8])
        bag.write_bytes(damaged)
        assert make_room(tmp_path, 0) == []
    assert bag.exists()


def test_a_log_that_a_power_cut_ended_can_go(tmp_path: Path) -> None:
    path = write_log(tmp_path, "cut", 1, pairs=20, max_segment_s=0.5)
    last = max(path.glob("*.mcap"))
    os.truncate(last, last.stat().st_size // 2)
    (path / "metadata.yaml").unlink()
    (path / ".metadata.yaml.k2j3").write_bytes(b"half")
    assert [log.path for log in make_room(tmp_path, 0)] == [path]
    assert not path.exists()


def test_a_removal_cut_short_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_log(tmp_path, "log", 1, pairs=20, max_segment_s=0.5)
    unlink, left = Path.unlink, [3]

    def failing(self: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(retention.Path, "unlink", failing)
        with pytest.raises(UserError, match="log: the log cannot be removed"):
            make_room(tmp_path, 0)
    assert path.exists()
    assert [log.path for log in make_room(tmp_path, 0)] == [path]
    assert not path.exists()


def test_a_log_that_somebody_removes_meanwhile_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, gone = write_log(tmp_path, "kept", age=1), write_log(tmp_path, "gone", age=2)
    marked = retention._is_marked

    def and_removed(segment: Path) -> bool:
        found = marked(segment)
        if segment.parent == gone:
            segment.unlink()
        return found

    monkeypatch.setattr(retention, "_is_marked", and_removed)
    assert [log.path for log in stored_logs(tmp_path)] == [kept]


def test_the_mark_is_in_every_segment_and_no_reader_minds(tmp_path: Path) -> None:
    path = write_log(tmp_path, "log", 1, pairs=20, max_segment_s=0.5)
    assert len(list(path.glob("*.mcap"))) == 4
    assert all(retention._is_marked(segment) for segment in path.glob("*.mcap"))
    with BagReader(path) as reader:
        assert reader.losses == []
        assert len(list(reader.messages([RGB_TOPIC]))) == 20
