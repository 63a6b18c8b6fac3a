"""The device: what it is, how fast it multiplies at most, and how much a network asks of it."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def facts(device: str) -> dict[str, Any]:
    """Name, memory and versions."""
    found: dict[str, Any] = {"device": "CPU", "torch": torch.__version__}
    if device == "cuda":
        known = torch.cuda.get_device_properties(0)
        found |= {"device": known.name, "memory_gib": round(known.total_memory / 2**30, 1)}
        found |= {"capability": f"{known.major}.{known.minor}", "cuda": torch.version.cuda}
    return found


def seconds_of(task: Callable[[], object], device: str, seconds: float) -> float:
    """Mean seconds of one call, after one that is not counted."""
    task()
    wait(device)
    calls, start_s = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start_s < seconds:
        task()
        wait(device)
        calls += 1
    return (time.perf_counter() - start_s) / calls


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_flops(device: str, dtype: torch.dtype, side: int, seconds: float) -> float:
    """Operations a second of a large product of matrices: what this device really reaches at most."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: a @ b, device, seconds)


@torch.no_grad()
def forward_flops(network: nn.Module, size_px: int, device: str) -> int:
    """Operations of one image's forward pass; a training step has about three times as many."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size_px, size_px, device=device))
    return int(counter.get_total_flops())
