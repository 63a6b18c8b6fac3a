"""Which collection a source is, told from its layout, and its import."""

from pathlib import Path
from typing import Protocol

from edgevl_core.base.errors import UserError
from edgevl_train.datasets import eurosat, folder, lerobot, nyuv2, scannet, sunrgbd, webdataset
from edgevl_train.datasets.sample import Collection
from edgevl_train.datasets.writer import ImportSummary, OnProgress, write_collection


class Kind(Protocol):
    """What a module of this package has to offer to be a kind of source."""

    LAYOUT: str

    def fits(self, source: Path) -> bool:
        """Whether ``source`` has this layout; cheap for every other kind of source."""

    def collect(self, source: Path, split: str | None) -> Collection:
        """Its samples, all of them or those of ``split``; no image is read yet."""


KINDS: tuple[Kind, ...] = (folder, webdataset, lerobot, nyuv2, scannet, eurosat, sunrgbd)
"""SUN RGB-D last: it alone has to walk the whole tree to see that a source does not fit."""


def import_collection(
    source: Path | str,
    out: Path | str,
    *,
    split: str | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> ImportSummary:
    """Write the pairs of ``source``, a collection of any kind, to the new bag ``out``.

    Args:
        split: a name or a list file, as the kind of collection has it; None = everything.
        on_progress: called with (pairs done, pairs in all).

    Raises:
        UserError: no kind fits, the split is none of its splits, or see :func:`write_collection`. ``out`` is then
            not made.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"{source} does not exist: give the folder or file of a collection")
    for kind in KINDS:
        if kind.fits(source):
            return write_collection(source, kind.collect(source, split), out, on_progress)
    raise UserError(f"{source} has no layout known here; accepted are: {'; '.join(kind.LAYOUT for kind in KINDS)}")
