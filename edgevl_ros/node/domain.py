"""A ROS domain that nobody else on this machine uses: for tests and benchmarks. Imports no ROS."""

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOMAINS = range(1, 102)  # above 101 DDS ports run into Linux's ephemeral ones


def _is_silent(domain: int) -> bool:
    """Whether no process here listens on the domain's discovery port (7400 + 250 * domain, by DDSI-RTPS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", 7400 + 250 * domain))
        except OSError:
            return False
        return True


@contextmanager
def free_ros_domain() -> Iterator[int]:
    """A ROS domain that no other test run holds (a lock file) and no process uses, until the block ends."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with (Path(tempfile.gettempdir()) / f"edgevl-ros-domain-{domain}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_silent(domain):
                yield domain
                return
    raise RuntimeError("no ROS domain from 1 to 101 is free")
