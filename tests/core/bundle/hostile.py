"""How a bundle must be refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle


def refusal(bundle: Path) -> str:
    """The message of a bundle that must be refused: one line, short, no control characters."""
    with pytest.raises(UserError) as caught:
        load_bundle(bundle)
    return one_plain_line(str(caught.value))


def one_plain_line(message: str) -> str:
    assert message.isprintable()
    assert len(message) <= 500
    return message


def change_array(bundle: Path, file: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(bundle / file) as arrays:
        content = {key: arrays[key] for key in arrays.files}
    content[name] = change(content[name])
    np.savez(bundle / file, **content)


def model_of(bundle: Path, name: str = "student.onnx") -> onnx.ModelProto:
    return onnx.load(str(bundle / name))
