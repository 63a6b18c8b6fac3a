"""What ONNX Runtime makes of an exported student."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnx

from edgevl_core.engine import open_session


def op_counts(path: Path | str, providers: Sequence[str] = ("CPUExecutionProvider",)) -> dict[str, int]:
    """Operators of the graph as ONNX Runtime optimised it for this processor, with their numbers.

    An int8 student shows QLinearConv and QGemm here, and no Conv or Gemm.
    """
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory) / "optimised.onnx"
        open_session(Path(path), 1, providers, save_to=saved)
        graph = onnx.load(saved).graph
    return dict(Counter(node.op_type for node in graph.node))
