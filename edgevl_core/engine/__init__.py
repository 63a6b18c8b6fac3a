"""Runs a student's ONNX file on the robot: one small interface over ONNX Runtime and OpenVINO.

engine: what callers use; network: what a runtime gives it; onnx_runtime, open_vino: the runtimes; onnx_file: what a
file holds, before any of them sees it.
"""

from edgevl_core.engine.engine import ENGINES, Engine, one_image, takes_int8
from edgevl_core.engine.network import INPUT_NAME, OUTPUT_NAME
from edgevl_core.engine.onnx_file import OnnxFile, inspect_onnx
from edgevl_core.engine.onnx_runtime import CPU_ONLY, open_session
from edgevl_core.engine.open_vino import openvino_installed

__all__ = [
    "CPU_ONLY",
    "ENGINES",
    "INPUT_NAME",
    "OUTPUT_NAME",
    "Engine",
    "OnnxFile",
    "inspect_onnx",
    "one_image",
    "open_session",
    "openvino_installed",
    "takes_int8",
]
