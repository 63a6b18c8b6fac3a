"""The health of a recorded drive in words: pairing, depth, light, losses. Every doubt comes with what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgevl_core.camera.registration import parse_registration
from edgevl_core.log_view.content import LogContent, ShownPair
from edgevl_core.page.render import percent
from edgevl_core.pairlog.info import PairingInfo

LOST = "lost: "
LOST_SHARE = 0.05  # of the images without a partner, from which on it is worth a word
THIN_DEPTH, DARK_LUMA = 0.5, 32.0
FEW_PAIRS = 100


@dataclass(frozen=True)
class Sign:
    """One sentence; ``fine``: nothing is to be done about it."""

    fine: bool
    text: str


def signs(content: LogContent) -> list[Sign]:
    """What can be said of it, the doubts first."""
    info = content.info
    found = [Sign(False, doubt) for doubt in info.doubts] + [Sign(False, f"{LOST}{loss}") for loss in info.losses]
    if info.pairing is None:
        return [Sign(False, f"No pairs: {info.not_paired_because}"), *found]
    found += _pairing(info.pairing)
    found += _amount(content)
    if info.registered:
        known = parse_registration(info.registered).is_registered
        advice = "" if known else " Record camera_info of both cameras; docs/robots.md says what else can be done."
        found.append(Sign(known, f"Depth registered to RGB: {info.registered}.{advice}"))
    if content.shown:
        found += [*_depth(content.shown), *_light(content.shown)]
    return sorted(found, key=lambda sign: sign.fine)


def _pairing(pairing: PairingInfo) -> Iterator[Sign]:
    if not pairing.pairs:
        yield Sign(False, f"No RGB image has a depth image near it in time. {pairing.advice}".strip())
        return
    yield Sign(
        True,
        f"RGB and depth fit together: half of the {pairing.pairs} pairs lie within {1e3 * pairing.skew_p50_s:.1f} ms, "
        f"95\u00a0% within {1e3 * pairing.skew_p95_s:.1f} ms.",
    )
    lost = sum(pairing.dropped.values())
    share = lost / (lost + 2 * pairing.pairs)
    reasons = ", ".join(f"{count} {reason}" for reason, count in pairing.dropped.items())
    if share > LOST_SHARE:
        advice = "two cameras of different rates are fine; otherwise look at dropped messages (edgevl doctor --live)"
        yield Sign(False, f"{percent(share)} of the images are in no pair ({reasons}): {advice}.")
    elif lost:
        yield Sign(True, f"{lost} images are in no pair ({reasons}).")


def _amount(content: LogContent) -> Iterator[Sign]:
    count = len(content.stamp_ns)
    if count and count < FEW_PAIRS:
        yield Sign(False, f"{count} pairs are few to adapt from: log {2 * FEW_PAIRS} or more, from all rooms.")
    gaps = content.gaps()
    if gaps:
        at, length = gaps[0]
        yield Sign(True, f"{len(gaps)} pauses; the longest, {length:.0f} s, begins after {at:.0f} s.")
    elif count > 2:
        yield Sign(True, f"No pauses: a pair every {np.median(np.diff(content.stamp_ns)) / 1e9:.2f} s.")


def _depth(shown: Sequence[ShownPair]) -> Iterator[Sign]:
    valid = float(np.mean([pair.valid for pair in shown]))
    medians = [pair.median_m for pair in shown if np.isfinite(pair.median_m)]
    if not medians:
        yield Sign(
            False, f"Depth measured nothing in the {len(shown)} pairs looked at: check the camera and its topic."
        )
        return
    text = f"Depth has a measurement in {percent(valid)} of the pixels, at {np.median(medians):.1f} m in the middle"
    if valid < THIN_DEPTH:
        yield Sign(False, f"{text}: many holes; glass, sun and a wrong range do so. RGB will have to carry more.")
    else:
        yield Sign(True, f"{text} (of {len(shown)} pairs looked at).")


def _light(shown: Sequence[ShownPair]) -> Iterator[Sign]:
    luma = [pair.luma for pair in shown]
    dark = sum(value < DARK_LUMA for value in luma)
    if dark > len(luma) / 2:
        yield Sign(
            False, f"{dark} of {len(luma)} RGB pictures are dark: the teacher needs lit ones; log by day as well."
        )
    else:
        yield Sign(
            True, f"RGB is lit: brightness {np.median(luma):.0f} of 255, {dark} of {len(luma)} pictures are dark."
        )
