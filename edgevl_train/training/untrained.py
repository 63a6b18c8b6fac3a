"""The best int8 student that takes no training: what a training with the quantisation has to beat."""

import torch

from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.quantise import QuantStudent, scheme_of, untrained_students
from edgevl_train.stage_sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.training.validation import validator


@torch.no_grad()
def best_untrained(student: Student, data: RunData, section: Stage2Section) -> tuple[QuantStudent, str]:
    """The post-training quantisation that validates best, and what it was made with.

    Args:
        student: float, on the CPU; it stays as it is.
    """
    pixels = calibration_pixels(data, section.calibration_pairs)
    validate = validator(data, torch.device("cpu"))
    found = [(validate(q)["score"], name, q) for name, q in untrained_students(student, pixels, scheme_of(section))]
    _, name, best = max(found, key=lambda each: each[0])
    return best, name
