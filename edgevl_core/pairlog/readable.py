"""Bags, and files, of which so much is broken that a part would be taken for the whole."""

from collections.abc import Iterator, Sequence

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import PairReader, RgbdPair, UnreadableImage

MAX_UNREADABLE = 0.05
"""Share of a bag's pairs, or of files, that may be broken before they are refused."""


def readable(pairs: PairReader) -> Iterator[RgbdPair]:
    """The pairs of a bag, for who must not take a part of it for all.

    Raises:
        UserError: there are none, or more than ``MAX_UNREADABLE`` of them are broken.
    """
    faults: list[str] = []
    gone = 0
    for recorded in pairs.recorded():
        gone += 1
        try:
            pair = recorded.decode()
        except UnreadableImage as fault:
            pairs.stats[f"{fault.stream} unreadable"] += 1
            faults.append(str(fault))
            check_readable(pairs, faults, gone, pairs.expected)
        else:
            pairs.stats["pairs"] += 1
            yield pair
    if not gone:
        raise pairs.no_pairs()
    check_readable(pairs, faults, gone, gone)


def check_share(unreadable: Sequence[str], total: int, what: str) -> None:
    """Refuse files of which more cannot be read than ``MAX_UNREADABLE``.

    Args:
        unreadable: why, of each; total: files in all; what: they are.

    Raises:
        UserError: they are refused.
    """
    if len(unreadable) > MAX_UNREADABLE * total:
        raise UserError(
            f"{len(unreadable)} of {total} {what} cannot be read, {MAX_UNREADABLE:.0%} may fail (first: "
            f"{unreadable[0]}): repair these files, or remove them"
        )


def check_readable(pairs: PairReader, faults: Sequence[str], gone: int, of: int) -> None:
    """Refuse a bag of which more is broken than ``MAX_UNREADABLE``.

    Args:
        faults: of the pairs that cannot be decoded, among the first ``gone``; of: pairs in all.

    Raises:
        UserError: it is refused.
    """
    short = pairs.without_header
    if len(faults) + short > MAX_UNREADABLE * (of + short):
        reasons = [*faults[:3], *([f"{short} messages without a header"] if short else [])]
        raise UserError(
            f"{pairs.path}: {len(faults) + short} of the first {gone + short} pairs cannot be decoded, more than "
            f"{MAX_UNREADABLE:.0%} of the bag ({'; '.join(reasons)}): record it again, or leave it out"
        )
