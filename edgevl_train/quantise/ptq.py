"""The baselines that need no training: ONNX Runtime's own quantisation of the float file."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_train.quantise.export import INPUT_NAME
from edgevl_train.quantise.scheme import EIGHT_BITS, Scheme

_STATIC_OPS = ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip"]


class _PixelReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds pixel batches to the calibrator."""

    def __init__(self, batches: Iterable[NDArray[np.uint8]]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        pixels = next(self._batches, None)
        return None if pixels is None else {INPUT_NAME: np.asarray(pixels, dtype=np.uint8)}


def ptq_int8(
    fp32_onnx: Path | str, batches: Iterable[NDArray[np.uint8]], path: Path | str, scheme: Scheme = EIGHT_BITS
) -> None:
    """Static post-training quantisation: u8 activations, s8 weights, ranges by minimum and maximum.

    Products of two activations (attention) stay float.

    Args:
        fp32_onnx: from :func:`edgevl_train.quantise.export.export_fp32`.
        batches: (N, 3, S, S) uint8 pixels of TRAINING data, both modalities, all of one shape.
        path: the int8 file to write.
        scheme: one that ``known_to_onnxruntime``.

    Raises:
        UserError: no batch, another scheme.
    """
    if not scheme.known_to_onnxruntime:
        raise UserError(f"{scheme}: ONNX Runtime's own quantisation makes no such weights: use plain_int8")
    given = list(batches)
    if not given:
        raise UserError("calibration data: 0 batches; at least one batch of training pixels is needed")
    model = onnx.load(str(fp32_onnx))
    with tempfile.TemporaryDirectory() as directory, _without_advice():
        temporary = Path(directory) / "ptq.onnx"
        quantize_static(
            model,
            str(temporary),
            _PixelReader(given),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_STATIC_OPS,
            per_channel=scheme.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=scheme.weight_bits == 7,
            nodes_to_exclude=_float_nodes(model),
        )
        atomic_write(path, temporary.read_bytes())


def dynamic_int8(fp32_onnx: Path | str, path: Path | str, scheme: Scheme = EIGHT_BITS) -> None:
    """Dynamic quantisation: s8 weights, activation ranges found at each run; good for transformers.

    Convolutions stay float: ONNX Runtime has no fast dynamic kernel for them.

    Args:
        scheme: one that ``known_to_onnxruntime``.
    """
    model = onnx.load(str(fp32_onnx))
    # The quantiser transposes Gemm's weights and trips over their recorded shapes.
    del model.graph.value_info[:]
    with tempfile.TemporaryDirectory() as directory, _without_advice():
        temporary = Path(directory) / "dynamic.onnx"
        quantize_dynamic(
            model,
            str(temporary),
            op_types_to_quantize=["Gemm", "MatMul"],
            per_channel=scheme.per_channel,
            weight_type=QuantType.QInt8,
            reduce_range=scheme.weight_bits == 7,
            nodes_to_exclude=_float_nodes(model),
        )
        atomic_write(path, temporary.read_bytes())


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser advises a preparation that the exporter has already done; errors still raise."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that lose too much: products of two activations, and a transformer's additions."""
    nodes = model.graph.node
    constants = {initialiser.name for initialiser in model.graph.initializer}
    products = [n.name for n in nodes if n.op_type == "MatMul" and not constants.intersection(n.input)]
    if not any(n.op_type == "LayerNormalization" for n in nodes):
        return products
    return products + [n.name for n in nodes if n.op_type == "Add"]
