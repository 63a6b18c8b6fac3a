"""Averages of students' weights ("soups"), chosen by pairs at hand.

Weights that were fine-tuned from one base lie in one basin, where their average is as good a student as each, and
better elsewhere (Wortsman et al., "Model soups", ICML 2022). Choices:

all: the average of all. greedy: the students by falling score, each kept in the average if that does not make it
worse. layers: from the average of all, block by block from the last to the first, a single student's block where that
is better. Each candidate's BatchNorms are measured anew on training pairs, and its score is that of
:func:`edgevl_train.training.validation.validator` on validation pairs.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.restore import load_float_student
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student
from edgevl_train.training.batch_norms import STATISTICS_PAIRS, measure_anew
from edgevl_train.training.validation import validator

State = Mapping[str, Tensor]


def average(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of equally shaped weights; whole numbers (counts of batches) are the first one's."""
    first, *_ = states
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value.clone()
        for name, value in first.items()
    }


@dataclass(frozen=True)
class Soup:
    """What was chosen.

    Attributes:
        state: of the merged student; score: on the validation pairs at hand.
        scores: of each run's student alone, and of the average of all ("average").
        parts: what went in: runs, or block -> run where that is not the average.
    """

    state: State
    score: float
    scores: dict[str, float]
    parts: dict[str, Any] = field(default_factory=dict)


@torch.no_grad()
def merge_for(
    student: Student, data: RunData, section: StudentSection, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """Give ``student`` the merged weights of ``section.merge``; None, and nothing done, where there are no such runs.

    Returns:
        What report.json says of it: choice, score, scores, parts.
    """
    if not section.merge:
        return None
    states = {str(run): load_float_student(run, section, student.embed_dim).state_dict() for run in section.merge}
    pixels = calibration_pixels(data, STATISTICS_PAIRS)
    batches = pixels.tensor_split(-(-len(pixels) // 64))  # of one size, for their statistics count alike
    validate = validator(data, torch.device("cpu"))

    def tried(state: State) -> tuple[float, State]:
        candidate = copy.deepcopy(student)
        candidate.load_state_dict(state)
        measure_anew(candidate, batches)
        return validate(candidate.eval())["score"], candidate.state_dict()

    soup = _CHOICES[section.merge_choice](states, tried)
    student.load_state_dict(soup.state)
    alone = ", ".join(f"{name} {score:.3f}" for name, score in soup.scores.items())
    say(f"merged ({section.merge_choice}): validation {soup.score:.3f}; alone: {alone}")
    return {"choice": section.merge_choice, "score": soup.score, "scores": soup.scores, "parts": soup.parts}


Try = Callable[[State], tuple[float, State]]


def _scores(states: Mapping[str, State], tried: Try) -> dict[str, float]:
    return {name: tried(state)[0] for name, state in states.items()}


def _all(states: Mapping[str, State], tried: Try) -> Soup:
    score, merged = tried(average(list(states.values())))
    return Soup(merged, score, _scores(states, tried) | {"average": score}, {"runs": list(states)})


def _greedy(states: Mapping[str, State], tried: Try) -> Soup:
    scores = _scores(states, tried)
    kept: list[str] = []
    best, merged = float("-inf"), next(iter(states.values()))
    for name in sorted(scores, key=lambda each: -scores[each]):
        score, candidate = tried(average([states[each] for each in (*kept, name)]))
        if score >= best:
            kept, best, merged = [*kept, name], score, candidate
    scores["average"] = tried(average(list(states.values())))[0]
    return Soup(merged, best, scores, {"runs": kept})


def _by_layers(states: Mapping[str, State], tried: Try) -> Soup:
    weights = average(list(states.values()))
    best, merged = tried(weights)
    scores = _scores(states, tried) | {"average": best}
    chosen: dict[str, str] = {}
    for block in reversed(list(dict.fromkeys(map(block_of, weights)))):
        for name, state in states.items():
            other = weights | {key: value for key, value in state.items() if block_of(key) == block}
            score, candidate = tried(other)
            if score > best:
                best, merged, chosen[block], better = score, candidate, name, other
        if block in chosen:
            weights = better
    return Soup(merged, best, scores, {"runs": list(states), "blocks": chosen})


_CHOICES: dict[str, Callable[[Mapping[str, State], Try], Soup]] = {
    "all": _all,
    "greedy": _greedy,
    "layers": _by_layers,
}


def block_of(name: str) -> str:
    """The block that a parameter belongs to: its name up to the first number, or without the last word.

    >>> block_of("backbone.blocks.2.conv.weight"), block_of("head.weight")
    ('backbone.blocks.2', 'head')
    """
    words = name.split(".")
    number = next((at for at, word in enumerate(words) if word.isdigit()), None)
    return ".".join(words[:-1] if number is None else words[: number + 1])
