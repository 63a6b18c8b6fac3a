"""Every cut of a network measured: bytes that travel, milliseconds before and after, and what that comes to."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.base.timing import measure
from edgevl_core.engine import CPU_ONLY, INPUT_NAME, Engine, open_session
from edgevl_core.offload.halves import LEAST_COSINE
from edgevl_train.split.cut import Cut, cut_in_two, find_cuts, load_network


@dataclass(frozen=True)
class Way:
    """A network and where it is cut; ``compress``: how many times fewer channels travel than the student has there."""

    model: onnx.ModelProto
    cut: Cut
    compress: int = 1


@dataclass(frozen=True)
class Measured:
    """One way to share the work.

    Attributes:
        cut: None: everything on one side.
        shape, bytes: of what travels for one image.
        front_ms, back_ms: median on this machine.
        compress: see :class:`Way`.
    """

    cut: Cut | None
    shape: tuple[int, ...]
    bytes: int
    front_ms: float
    back_ms: float
    compress: int = 1

    def latency_ms(self, mbit: float, base_speed: float) -> float:
        """One image's time: front here, the tensor over ``mbit`` Mbit/s, back on a machine so many times as fast."""
        return self.front_ms + 8e-3 * self.bytes / mbit + self.back_ms / base_speed


def measure_cuts(
    file: Path,
    seconds: float,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    compressed: Sequence[Way] = (),
) -> list[Measured]:
    """All there (the pixels travel), each cut, all here (nothing travels), with one thread, in one interleaved run.

    ``compressed``: further ways, of the student with a bottleneck; they may answer otherwise.

    Raises:
        UserError: the file is no student, or cannot be cut.
    """
    model, whole = load_network(file), Engine(file)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, whole.size_px, whole.size_px), np.uint8)
    expected = whole(pixels)
    ways, sent = [*(Way(model, cut) for cut in find_cuts(model)), *compressed], []
    tasks: dict[str, Callable[[], object]] = {"whole": lambda: whole(pixels)}
    with tempfile.TemporaryDirectory() as directory:
        for number, way in enumerate(ways):
            front, back = (open_session(part, 1, CPU_ONLY) for part in cut_in_two(way.model, way.cut, Path(directory)))
            sent.append(_run(front, INPUT_NAME, pixels))
            answer = _run(back, way.cut.tensor, sent[-1])
            if way.compress == 1 and not (cosine := float((answer * expected).sum())) >= LEAST_COSINE:
                raise UserError(f"{file} cut at {way.cut.tensor}: both halves answer otherwise (cosine {cosine:.4f})")
            tasks |= {f"front {number}": _task(front, INPUT_NAME, pixels)}
            tasks |= {f"back {number}": _task(back, way.cut.tensor, sent[-1])}
    times = {
        name: 1e3 * timing.median_s for name, timing in measure(tasks, seconds=seconds, on_progress=on_progress).items()
    }
    found = [Measured(None, pixels.shape, pixels.nbytes, 0.0, times["whole"])]
    for number, (way, tensor) in enumerate(zip(ways, sent, strict=True)):
        milliseconds = (times[f"front {number}"], times[f"back {number}"])
        found.append(Measured(way.cut, tensor.shape, tensor.nbytes, *milliseconds, way.compress))
    return [*found, Measured(None, (), 0, times["whole"], 0.0)]


def best(ways: Sequence[Measured], mbit: float, base_speed: float) -> Measured:
    """The way of least latency."""
    return min(ways, key=lambda way: way.latency_ms(mbit, base_speed))


def _run(session: Any, name: str, value: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(session.run(None, {name: value})[0])


def _task(session: Any, name: str, value: NDArray[Any]) -> Callable[[], object]:
    return lambda: session.run(None, {name: value})
