"""The machine a figure belongs to: processor, libraries, load."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

# What decides int8's speed: integer products on x86 (VNNI, AMX) and on ARM (dot product, matrix product).
_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
_LIBRARIES = (
    "edgevl",
    "onnxruntime",
    "openvino",
    "numpy",
    "opencv-python-headless",
    "torch",
    "timm",
    "open_clip_torch",
)


def machine() -> dict[str, Any]:
    """{"cpu", "cores", "flags", "python", "system", "omp_wait_policy", "versions"}; a library not there is left out."""
    info = _cpu_info()
    listed = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "flags": [flag for flag in _FLAGS if flag in listed],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Processes that want to run, mean over the last minute; this one counts."""
    return round(os.getloadavg()[0], 2)


def _cpu_info() -> dict[str, str]:
    """The first processor's entries of Linux's /proc/cpuinfo; none elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
