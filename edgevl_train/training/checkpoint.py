"""Where a stage stands, on disk: enough to go on at the very batch."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError, one_line

Metrics = dict[str, float]


@dataclass
class Best:
    """The best epoch (0: before training), its validation metrics and weights (on the CPU)."""

    epoch: int = -1
    metrics: Metrics = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class TrainState:
    """How far a stage has come.

    Attributes:
        epoch: epochs finished, validation included.
        batch: batches of the next epoch that the weights have learned from already.
        sums: what these batches' losses add up to, for the log.
    """

    epoch: int = 0
    batch: int = 0
    sums: Metrics = field(default_factory=dict)
    best: Best = field(default_factory=Best)


class Checkpoint:
    """One file with a standing and the state of ``parts``: model, optimiser and whatever else has one.

    The file is replaced atomically, so a process killed at any moment leaves the old one or the new.
    """

    def __init__(self, path: Path, fingerprint: str, parts: Mapping[str, Any]) -> None:
        """``parts``: name -> object with ``state_dict`` and ``load_state_dict``."""
        self._path = path
        self._fingerprint = fingerprint
        self._parts = dict(parts)

    def save(self, standing: TrainState) -> None:
        """Replace the file.

        Raises:
            UserError: the disk is full; the file is the old one.
        """
        content = {"fingerprint": self._fingerprint, **vars(standing), "best": vars(standing.best)}
        content |= {name: part.state_dict() for name, part in self._parts.items()}
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            atomic_write(self._path, buffer.getvalue())
        except OSError as error:
            raise UserError(
                f"checkpoint {self._path} of {buffer.tell() / 2**20:.0f} MiB cannot be written ({error.strerror}); the "
                "one before it is kept: make room, then go on with --resume"
            ) from error

    def restore(self) -> TrainState:
        """Load the parts and return the standing; a fresh one where there is no file.

        Raises:
            UserError: the file belongs to another run, or is damaged.
        """
        if not self._path.exists():
            return TrainState()
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            if content["fingerprint"] != self._fingerprint:
                raise UserError(
                    f"{self._path} was made by another recipe, teacher or data: resume with those, or choose a new "
                    "--out directory"
                )
            for name, part in self._parts.items():
                part.load_state_dict(content[name])
            return TrainState(content["epoch"], content["batch"], content["sums"], Best(**content["best"]))
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                f"checkpoint {self._path} is damaged ({one_line(str(error), 160)}): remove it, and go on with "
                "--resume: its stage is learned again"
            ) from error
