"""``edgevl export``: the pairs of a bag for those who train with other tools."""

from collections.abc import Callable
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import PairReader, PairSettings
from edgevl_train.datasets.exported import ExportSummary
from edgevl_train.datasets.lerobot import write_lerobot
from edgevl_train.datasets.webdataset import write_webdataset
from edgevl_train.datasets.writer import OnProgress

WRITERS: dict[str, Callable[[PairReader, Path, OnProgress], ExportSummary]] = {
    "webdataset": write_webdataset,
    "lerobot": write_lerobot,
}


def export_bag(
    bag: Path,
    out: Path,
    to: str,
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
    on_progress: OnProgress = lambda done, total: None,
) -> ExportSummary:
    """Write the pairs of ``bag`` to the new directory ``out`` as "webdataset" or "lerobot".

    RGB is the file that the bag holds (raw pixels as PNG), depth a PNG of 16-bit millimetres; ``edgevl import`` reads
    both formats again.

    Raises:
        UserError: another format, a library that it needs is missing, ``out`` exists, the bag has no pairs.
    """
    if to not in WRITERS:
        raise UserError(f"--to {to}: accepted are {' and '.join(WRITERS)}")
    if out.exists():
        raise UserError(f"--out {out} exists: choose a new directory, or remove it")
    return WRITERS[to](settings.read(bag), out, on_progress)
