"""vanillaKD's rule in words (arXiv 2305.15781): what wins on little data only is not worth its trouble."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgevl_train.ablation.figures import spread_of

Cells = Mapping[str, Mapping[str, Mapping[str, Any]]]  # recipe -> percent -> row -> figure -> spread


def verdicts(cells: Cells, base: str, figure: str, row: str) -> dict[str, dict[str, Any]]:
    """For each recipe but the base: paired gains in ``figure`` at each fraction, and a sentence.

    A recipe is recommended only where its mean gain at the largest fraction is above 0 by more than the gain's sample
    standard deviation over the seeds.
    """
    found = {}
    for name, of in cells.items():
        if name == base:
            continue
        gains = {
            percent: _gain(of[percent][row][figure]["values"], cells[base][percent][row][figure]["values"])
            for percent in of
        }
        found[name] = {"gain": gains, "recommended": _wins(_largest(gains)), "sentence": _sentence(name, base, gains)}
    return found


def _gain(values: Sequence[float], of_base: Sequence[float]) -> dict[str, Any]:
    return spread_of([one - other for one, other in zip(values, of_base, strict=True)])


def _largest(gains: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return gains[max(gains, key=int)]


def _wins(gain: Mapping[str, Any]) -> bool:
    return bool(gain["mean"] > gain["std"])  # one seed has no spread (NaN), and wins nothing


def _sentence(name: str, base: str, gains: Mapping[str, Mapping[str, Any]]) -> str:
    percent, gain = max(gains, key=int), _largest(gains)
    if len(gain["values"]) < 2:
        return f"{name}: {gain['mean']:+.3f} to {base} at {percent} % of the pairs, one seed: no spread, no verdict"
    told = f"{gain['mean']:+.3f} ± {gain['std']:.3f} to {base} at {percent} % of the pairs"
    if _wins(gain):
        return f"{name}: recommended, {told}"
    within = "worse" if gain["mean"] < -gain["std"] else "within the spread"
    small = [f"{each} %" for each in gains if each != percent and _wins(gains[each])]
    rest = f"; that it wins at {', '.join(small)} does not count" if small else ""
    return f"{name}: not recommended, {told}: {within}{rest}"
