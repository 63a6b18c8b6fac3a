"""Logs cut off at random: by SIGKILL, and where a power cut would end the file. ``make faults`` runs many rounds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import add_pair, add_topics
from tests.paths import ROOT

pytestmark = pytest.mark.faults
ROUNDS = int(os.environ.get("EDGEVL_FAULT_ROUNDS", "4"))
MESSAGES_A_PAIR = 3  # and one camera_info

WRITE = """
import itertools, sys
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import add_pair, add_topics
with BagWriter(sys.argv[1], chunk_bytes=20_000, max_segment_bytes=150_000, min_free_bytes=0) as bag:
    add_topics(bag)
    for number in itertools.count():
        add_pair(bag, number)
        if number % 7 == 0:
            bag.sync()
            print(bag.messages_written, flush=True)
"""


def read(bag: Path) -> tuple[int, list[str]]:
    """Messages that come out, and what is said to be lost; a file without any is refused with the reason."""
    try:
        with BagReader(bag) as reader:
            return sum(1 for _ in reader.messages()), list(reader.losses)
    except UserError as error:
        return 0, [str(error)]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_sigkill_costs_nothing_that_was_synced(tmp_path: Path, seed: int) -> None:
    bag, told = tmp_path / "bag", tmp_path / "told"
    with told.open("wb") as output:
        child = subprocess.Popen([sys.executable, "-c", WRITE, str(bag)], cwd=ROOT, stdout=output)
    deadline_s = time.monotonic() + 60
    while not told.stat().st_size:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    child.send_signal(signal.SIGKILL)
    child.wait()
    # The last line may be half written.
    synced = int(told.read_text().rpartition("\n")[0].split("\n")[-1])
    count, losses = read(bag)
    assert count >= synced > 0
    assert losses  # it was not closed


def test_a_recorder_that_died_between_a_segment_and_its_metadata_is_noticed(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as bag:
        add_topics(bag)
        for number in range(20):
            add_pair(bag, number)
    assert read(tmp_path / "bag") == (60, [])
    metadata = tmp_path / "bag/metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 20", "message_count: 18"))
    count, losses = read(tmp_path / "bag")
    assert count == 60
    assert ["counts 5" in loss and "the files hold 60" in loss for loss in losses] == [True]


def test_a_file_cut_anywhere_gives_what_was_synced_before_the_cut(tmp_path: Path) -> None:
    synced = [(0, 0)]  # bytes of the file, messages in it
    with BagWriter(tmp_path / "whole", chunk_bytes=20_000, min_free_bytes=0) as bag:
        add_topics(bag)
        for number in range(60):
            add_pair(bag, number)
            if number % 5 == 4:
                bag.sync()
                synced.append((bag.bytes_written, bag.messages_written))
    content = (tmp_path / "whole/whole_0.mcap").read_bytes()
    whole, _ = read(tmp_path / "whole")
    assert whole == synced[-1][1]
    draw = random.Random(0)
    for number in range(10 * ROUNDS):
        at = draw.randrange(8, len(content))
        cut = tmp_path / f"cut{number}.mcap"
        cut.write_bytes(content[:at])
        count, losses = read(cut)
        assert count >= max(messages for size, messages in synced if size <= at), at
        assert losses, at
        cut.unlink()


def test_a_changed_byte_anywhere_changes_no_message_without_a_word(tmp_path: Path) -> None:
    """Every message that comes out is one that was written, and of those that do not the loss is said."""
    with BagWriter(tmp_path / "whole", chunk_bytes=20_000, min_free_bytes=0) as bag:
        add_topics(bag)
        for number in range(30):
            add_pair(bag, number)
    content = (tmp_path / "whole/whole_0.mcap").read_bytes()

    def told(file: Path) -> tuple[list[tuple[str, bytes]], list[str]]:
        try:
            with BagReader(file) as reader:
                return [(message.topic, bytes(message.data)) for message in reader.messages()], list(reader.losses)
        except UserError as error:
            return [], [str(error)]

    file = tmp_path / "changed.mcap"
    file.write_bytes(content)
    written, none = told(file)
    assert (len(written), none) == (90, [])
    draw = random.Random(0)
    for _ in range(10 * ROUNDS):
        at, bits = draw.randrange(len(content)), draw.randrange(1, 256)
        file.write_bytes(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
        found, losses = told(file)
        assert losses or found == written, (at, bits)
        assert not set(found) - set(written), (at, bits)
