"""Work that several processes share: each does its part, and all have every result."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Share(Protocol):
    """``work`` of every item, in the items' order; the same list in every process."""

    def __call__(self, items: Sequence[Item], work: Callable[[Item], Result], /) -> list[Result]: ...


def alone(items: Sequence[Item], work: Callable[[Item], Result], /) -> list[Result]:
    """One process does all."""
    return [work(item) for item in items]


def among(fabric: Fabric | None) -> Share:
    """Item i is done by process i modulo their number; results travel pickled.

    Every process calls it with the same items. A UserError in any of them is raised in all, once all are done.
    """
    if fabric is None or fabric.world_size == 1:
        return alone
    rank, processes = fabric.global_rank, fabric.world_size

    def share(items: Sequence[Item], work: Callable[[Item], Result], /) -> list[Result]:
        mine: list[Result] = []
        fault = ""
        try:
            mine = alone(items[rank::processes], work)
        except UserError as error:
            fault = str(error)
        gathered: list[Any] = [None] * processes
        torch.distributed.all_gather_object(gathered, (mine, fault))
        if faults := [text for _, text in gathered if text]:
            raise UserError(faults[0])
        return [gathered[number % processes][0][number // processes] for number in range(len(items))]

    return share
