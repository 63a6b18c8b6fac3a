"""What is let go: a training keeps it, a node gives it back."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.unit, pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")]

TAKEN = """
import resource
from edgevl_core.base import memory
memory.{how}()
for _ in range(20):
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
PAGES = (64 << 20) // 4096


def faults(how: str) -> int:
    """Pages that the kernel had to hand out for twenty blocks of 64 MB, one after the other."""
    ran = subprocess.run([sys.executable, "-c", TAKEN.format(how=how)], capture_output=True, text=True, check=True)
    return int(ran.stdout)


def test_a_training_keeps_what_it_lets_go_and_a_node_gives_it_back() -> None:
    kept, given_back = faults("keep_memory_at_hand"), faults("keep_memory_small")
    assert kept < 3 * PAGES
    assert given_back > 15 * PAGES
