"""How an adaptation goes, as edgevl/AdaptationStatus."""

import math

from edgevl.msg import AdaptationStatus

from edgevl_core.adaptation.records import Progress

NO_EXIT_CODE = -1


def new_status(state: str, stage: str = "") -> AdaptationStatus:
    """A status that knows of no bundle, no end and no exit code yet."""
    return AdaptationStatus(state=state, stage=stage, eta_s=math.nan, exit_code=NO_EXIT_CODE)


def put_progress(status: AdaptationStatus, progress: Progress, reason: str) -> None:
    """Progress into a status; ``reason``: why the adaptation was started, where somebody should be told."""
    status.stage, status.progress = progress.stage, min(1.0, max(0.0, progress.progress))
    status.eta_s = math.nan if progress.eta_s is None else progress.eta_s
    because = f"started: {reason}" if reason else ""
    status.message = "; ".join(text for text in (progress.message, because) if text)
    status.bundle_path, status.bundle_id = progress.bundle_path, progress.bundle_id
    if progress.state != "running":
        status.eta_s = math.nan
        status.exit_code = NO_EXIT_CODE if progress.exit_code is None else progress.exit_code
