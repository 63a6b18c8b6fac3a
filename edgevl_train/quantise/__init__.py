"""Quantisation-aware training and int8 ONNX export.

``fuse`` -> ``fake_quantise`` -> ``calibrate`` -> ``keep_sums`` -> train as usual -> ``export_int8``, and
``export_float_of`` for runtimes without int8, ``export_s8`` for TensorRT, ``export_int4`` for weights of 4 bits.
"""

from edgevl_train.quantise.export import export_float_of, export_fp32, export_int4, export_int8, export_s8
from edgevl_train.quantise.fuse import fuse
from edgevl_train.quantise.insert import QuantStudent, fake_quantise, float_copy
from edgevl_train.quantise.ptq import dynamic_int8, ptq_int8
from edgevl_train.quantise.ranges import calibrate
from edgevl_train.quantise.rounding import keep_sums
from edgevl_train.quantise.scheme import Scheme, scheme_of
from edgevl_train.quantise.search import plain_int8, untrained_students
from edgevl_train.quantise.untrained import clip_weights, correct_biases

__all__ = [
    "QuantStudent",
    "Scheme",
    "calibrate",
    "clip_weights",
    "correct_biases",
    "dynamic_int8",
    "export_float_of",
    "export_fp32",
    "export_int4",
    "export_int8",
    "export_s8",
    "fake_quantise",
    "float_copy",
    "fuse",
    "keep_sums",
    "plain_int8",
    "ptq_int8",
    "scheme_of",
    "untrained_students",
]
