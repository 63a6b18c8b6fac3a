"""Where a training works, in which processes, and whom it tells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from edgevl_train.metrics_file import OnRecord

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunContext:
    """What every stage of one run has in common.

    Attributes:
        fabric: the processes that train together.
        directory: gets ``checkpoints/`` and ``metrics.jsonl``.
        fingerprint: of what the run is made from; a checkpoint with another one is refused.
        on_progress: called with steps done, steps in all, and a short line.
        on_record: called with each record of metrics.jsonl, in the first process, when it has been written.
    """

    fabric: Fabric
    directory: Path
    fingerprint: str = ""
    on_progress: OnProgress = lambda done, total, message: None
    on_record: OnRecord = lambda record: None
