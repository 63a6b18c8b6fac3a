"""metrics.jsonl in TensorBoard, MLflow and Weights & Biases, read back with the readers of each."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.loggers import LOGGERS, check_logger, following, forward
from edgevl_train.metrics_file import METRICS_FILE, read_records, write_record
from tests.cli.command import edgevl
from tests.train.logged import almost, curves, in_mlflow, in_tensorboard, in_wandb

pytestmark = pytest.mark.train


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with the figures of two short stages."""
    path = tmp_path / "run"
    for stage, epochs in (("stage1", (1, 2, 3)), ("stage2", (0, 1, 2))):
        for epoch in epochs:
            write_record(path, stage, epoch, {"loss": 2.0 / (epoch + 1), "agree_rgb": 0.1 * epoch, "score": 0.25})
    return path


def test_a_run_in_tensorboard(run: Path, tmp_path: Path) -> None:
    assert forward(run, "tensorboard") == f"tensorboard --logdir {run}/tensorboard"
    wanted = almost(curves(read_records(run)))
    assert wanted.keys() == {f"stage{n}/{name}" for n in (1, 2) for name in ("loss", "agree_rgb", "score")}
    assert in_tensorboard(run / "tensorboard/run") == wanted
    forward(run, "tensorboard")
    assert in_tensorboard(run / "tensorboard/run") == wanted  # a second time, and nothing twice
    forward(run, "tensorboard", tmp_path / "all")
    assert in_tensorboard(tmp_path / "all/run") == wanted


def test_a_run_in_mlflow(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is large and in no lock: pip install mlflow")
    wanted = curves(read_records(run))
    assert forward(run, "mlflow") == f"mlflow ui --backend-store-uri sqlite:///{run}/mlflow/mlflow.db"
    assert in_mlflow(run / "mlflow/mlflow.db") == {"run": [wanted]}
    forward(run, "mlflow")
    assert in_mlflow(run / "mlflow/mlflow.db") == {"run": [wanted, wanted]}


def test_a_run_in_wandb_offline(run: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is large and in no lock: pip install wandb")
    assert forward(run, "wandb") == f"wandb sync {run}/wandb/wandb/offline-run-*"
    assert in_wandb(run / "wandb") == curves(read_records(run))


def test_what_is_no_logger_or_not_installed_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="logger 'tensorbord': tensorboard, mlflow, wandb are accepted"):
        check_logger("tensorbord")
    monkeypatch.setitem(LOGGERS, "wandb", LOGGERS["wandb"]._replace(library="not_installed_anywhere"))
    with pytest.raises(UserError, match=r"logger wandb: .* is not installed here: pip install not_installed_anywhere"):
        forward(run, "wandb")


def test_a_directory_that_cannot_be_used_is_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match=r"logger tensorboard in .*taken failed .*choose another --out"):
        forward(run, "tensorboard", tmp_path / "taken")
    with pytest.raises(UserError, match=f"nothing has no {METRICS_FILE}"):
        forward(tmp_path / "nothing", "tensorboard")


def test_a_full_disk_costs_the_logger_alone_and_is_one_line(
    run: Path,
    tmp_path: Path,
    files_of_at_most: Callable[[int], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the disk gets full: at the first byte, in between, or at the last."""
    said, traced, last = [], [], read_records(run)[-1]
    monkeypatch.setattr(threading, "excepthook", traced.append)  # what would be printed as a traceback
    forward(run, "tensorboard", tmp_path / "whole")
    (whole,) = (tmp_path / "whole/run").iterdir()
    size = whole.stat().st_size
    for most_bytes in (0, 60, size // 2, size - 1):
        with files_of_at_most(most_bytes):
            with following(["tensorboard"], run, said.append) as on_record:
                on_record(last)
                on_record(last)  # training goes on
            with pytest.raises(UserError, match=r"failed \(.*File too large\): make room, or choose another --out"):
                forward(run, "tensorboard", tmp_path / "small")
    assert len(said) == 4
    assert all("logger tensorboard failed" in line and "is left out" in line for line in said), said
    assert not traced


def test_who_joins_later_is_told_of_what_was_before(run: Path) -> None:
    with following(["tensorboard"], run, pytest.fail) as on_record:
        assert not (run / "tensorboard").exists()  # before there is something to tell
        on_record(write_record(run, "stage2", 3, {"loss": 0.125}))
        on_record(write_record(run, "stage2", 4, {"loss": 0.0625}))
    records = read_records(run)
    assert records[-1] == {"stage": "stage2", "epoch": 4, "loss": 0.0625}
    assert in_tensorboard(run / "tensorboard/run") == almost(curves(records))


def test_on_the_command_line(run: Path, tmp_path: Path) -> None:
    told = edgevl("report", run, "--to", "tensorboard")
    assert (told.returncode, told.stdout) == (0, f"look: tensorboard --logdir {run}/tensorboard\n"), told.stderr
    assert in_tensorboard(run / "tensorboard/run") == almost(curves(read_records(run)))
    both = edgevl("report", run, "--to", "mlflow", "--compare")
    assert (both.returncode, both.stderr) == (2, "edgevl: --to mlflow and --compare: give one of them\n")
