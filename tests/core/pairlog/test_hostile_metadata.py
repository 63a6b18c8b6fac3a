"""A metadata.yaml that holds anything costs a sentence, never a message or a traceback."""

import os
from pathlib import Path

import pytest
import yaml

from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.reader import BagReader
from tests.core.bags import write_bag

pytestmark = pytest.mark.unit


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join([*lines, "rosbag2_bagfile_information: {files: *a11, relative_file_paths: *a11}"])


def merge_bomb() -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    return "\n".join([*lines, "rosbag2_bagfile_information: *a11"])


HOSTILE: dict[str, str | bytes] = {
    "empty": "",
    "null": "null",
    "a list": "[1, 2, 3]",
    "a number": "7",
    "text": "hello",
    "no such key": "other: {}",
    "null inside": "rosbag2_bagfile_information: null",
    "list inside": "rosbag2_bagfile_information: [1]",
    "text for a list": "rosbag2_bagfile_information: {relative_file_paths: bag_0.mcap}",
    "numbers for paths": "rosbag2_bagfile_information: {relative_file_paths: [1, null, {}, [a]]}",
    "files of text": "rosbag2_bagfile_information: {files: [a, b]}",
    "files without counts": "rosbag2_bagfile_information: {files: [{path: bag_0.mcap}]}",
    "text counts": "rosbag2_bagfile_information: {files: [{path: bag_0.mcap, message_count: many}]}",
    "negative": "rosbag2_bagfile_information: {files: [{path: bag_0.mcap, message_count: -5}]}",
    "huge": f"rosbag2_bagfile_information: {{files: [{{path: bag_0.mcap, message_count: 1{'0' * 5000}}}]}}",
    "infinite": "rosbag2_bagfile_information: {files: [{path: bag_0.mcap, message_count: .inf}]}",
    "nested": "rosbag2_bagfile_information: " + "[" * 20_000,
    "nested lists": "rosbag2_bagfile_information:\n" + "- " * 20_000,
    "nested maps": "rosbag2_bagfile_information: " + "{a: " * 20_000,
    "bomb": bomb(),
    "merge bomb": merge_bomb(),
    "itself": "rosbag2_bagfile_information: &x {files: [*x], relative_file_paths: *x}",
    "not UTF-8": b"rosbag2_bagfile_information: \xff\xfe\x00",
    "python": "!!python/object/apply:os.system [exit 1]",
    "date": "rosbag2_bagfile_information: 9999-99-99",
    "binary": "\x00\x01",
    "compression of a list": "rosbag2_bagfile_information: {compression_mode: [FILE]}",
    "large": "- a\n" * 400_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_metadata_costs_nothing(tmp_path: Path, text: str | bytes) -> None:
    """The storage files are read without it; each loss is one line of moderate length."""
    bag = write_bag(tmp_path / "bag", 4)
    (bag / "metadata.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 13
        assert all(len(loss) < 300 and loss.isprintable() for loss in reader.losses)
        assert text == HOSTILE["compression of a list"] or "metadata.yaml is unreadable" in reader.losses[0]
    assert log_info(bag).pairing.pairs == 4


@pytest.mark.parametrize(
    "path", ["../other/other_0.mcap", "/etc/passwd", "..", ".", "", "a\x1b[31m\n.mcap", "x" * 5000, "a\0b.mcap"]
)
def test_a_path_that_leaves_the_bag_does_not(tmp_path: Path, path: str) -> None:
    write_bag(tmp_path / "other", 50)
    bag = write_bag(tmp_path / "bag", 4)
    information = {"rosbag2_bagfile_information": {"relative_file_paths": [path]}}
    (bag / "metadata.yaml").write_text(yaml.safe_dump(information))
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 13
        assert len(reader.losses) == 1
        assert len(reader.losses[0]) < 300
        assert reader.losses[0].isprintable()


def test_many_missing_files_are_a_few_lines(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 4)
    names = {"relative_file_paths": [f"gone_{n}.mcap" for n in range(3000)]}
    (bag / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": names}))
    with BagReader(bag) as reader:
        assert len(reader.losses) == 6
        assert reader.losses[-1] == "2995 more files that metadata.yaml names are missing"


@pytest.mark.parametrize("kind", ["directory", "pipe", "unreadable"])
def test_metadata_that_is_no_file(tmp_path: Path, kind: str) -> None:
    bag = write_bag(tmp_path / "bag", 4, max_segment_s=0.2)
    file = bag / "metadata.yaml"
    file.unlink()
    {"directory": file.mkdir, "pipe": lambda: os.mkfifo(file), "unreadable": lambda: file.touch(0o000)}[kind]()
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 13
        assert "metadata.yaml" in reader.losses[0]
