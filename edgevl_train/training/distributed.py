"""The processes that train together: one, several on a machine, or several machines under torchrun."""

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from edgevl_core.base.errors import UserError
from edgevl_core.base.memory import keep_memory_at_hand
from edgevl_train.sections import Machine
from edgevl_train.training.precision import resolve_precision


def start_fabric(recipe: Machine, precision: str | None = None, network: nn.Module | None = None) -> Fabric:
    """The processes of this run, started and connected: as torchrun has made them, otherwise as the recipe says.

    Each keeps its memory from then on, see :func:`edgevl_core.base.memory.keep_memory_at_hand`.

    Args:
        precision: None: the recipe's, for ``network``.

    Raises:
        UserError: a GPU is asked for that is not here, or the other processes do not come.
    """
    keep_memory_at_hand()
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    devices, nodes = recipe.devices, recipe.num_nodes
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    arithmetic: Any = precision or resolve_precision(recipe.precision, own_device(recipe), network)
    try:
        fabric = Fabric(accelerator=recipe.accelerator, devices=devices, num_nodes=nodes, precision=arithmetic)
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"accelerator {recipe.accelerator} with {devices} device(s) on {nodes} machine(s): "
            f"{error}: correct accelerator, devices and num_nodes"
        ) from error
    return fabric


def launched() -> Fabric | None:
    """The processes that torchrun has started, connected; None where it has not.

    For work that is shared out, without a network that trains.
    """
    return start_fabric(Machine(), "32-true") if torch.distributed.is_torchelastic_launched() else None


def own_device(recipe: Machine) -> str:
    """This process's own, before Fabric has started: where torchrun or Fabric put it, the GPU of its number."""
    gpu = recipe.accelerator != "cpu" and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if gpu else "cpu"


def first_process() -> bool:
    """Whether this is the first process on its machine, also before Fabric has started."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0
