"""Pairs as pictures: a contact sheet by the teacher's answer, and the worst disagreements."""

from typing import Any

import numpy as np

from edgevl_core.page.pictures import depth_uri, rgb_uri
from edgevl_train.data.run_data import spread
from edgevl_train.report.pairs import RunPairs
from edgevl_train.report.run_files import MODALITIES
from edgevl_train.report.students import Asked

SHEET_PAIRS, WORST = 24, 8


def contact_sheet(pairs: RunPairs) -> list[dict[str, Any]]:
    """About SHEET_PAIRS pairs, evenly spread over each of the teacher's answers, the commonest answer first."""
    every = np.arange(len(pairs.cache))
    p = pairs.teacher(every)
    answer = p.argmax(1)
    counts = np.bincount(answer, minlength=len(pairs.labels))
    given = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]][:SHEET_PAIRS]
    each = max(1, SHEET_PAIRS // max(len(given), 1))
    found = []
    for label in given:
        for row in spread(np.flatnonzero(answer == label), each):
            name = pairs.labels[label]
            found.append(_shown(pairs, int(row), name) | {"name": name, "p": float(p[row, label])})
    return found


def worst(pairs: RunPairs, asked: Asked, camera: str) -> list[dict[str, Any]]:
    """Where teacher and int8 student differ and both are sure, by the product of their probabilities.

    Each with both answers, both probabilities, and what the student gives the teacher's answer.
    """
    p = pairs.teacher(asked.rows)
    found, answer = asked.found[camera], p.argmax(1)
    sure = p.max(1) * found.confidence * (found.label != answer)
    order = [int(place) for place in np.argsort(-sure, kind="stable")[:WORST] if sure[place] > 0]
    return [
        _shown(pairs, int(asked.rows[place]), f"the teacher says {pairs.labels[answer[place]]}")
        | {
            "teacher": pairs.labels[answer[place]],
            "teacher_p": float(p[place, answer[place]]),
            "student": pairs.labels[found.label[place]],
            "student_p": float(found.confidence[place]),
            "camera": MODALITIES[camera],
        }
        for place in order
    ]


def _shown(pairs: RunPairs, row: int, alt: str) -> dict[str, Any]:
    return {
        "rgb": rgb_uri(np.asarray(pairs.cache.wide_rgb[row])),
        "depth": depth_uri(np.asarray(pairs.cache.wide_depth[row])),
        "alt": alt,
    }
