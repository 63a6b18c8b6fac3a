"""``teacher pretrain`` in two processes over gloo: the model of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import load_settings
from tests.paths import ROOT

pytestmark = pytest.mark.train
MODEL = {
    "embed_dim": 16,
    # Without BatchNorm, whose statistics are of each process's part.
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
# Six of eight rooms at most in a batch: the two halves of a batch show different ones.
SETTINGS = {
    "model": MODEL,
    "epochs": 1,
    "batch": 6,
    "text_steps": 5,
    "warmup_steps": 2,
    "lr": 1e-3,
    "precision": "32-true",
    "accelerator": "cpu",
    "threads": 1,
    "val_share": 0.3,
}


def test_two_processes_make_the_model_of_one(sim_bag: Path, tmp_path: Path) -> None:
    given = [f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "edgevl_cli.main", "teacher", "pretrain", str(sim_bag), "--out", str(tmp_path / "two")]
    command += [word for setting in given for word in ("--set", setting)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, timeout=200, check=True)
    pretrain([sim_bag], tmp_path / "one", settings=load_settings(None, None, given))
    one, two = (load_file(tmp_path / name / "open_clip_model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=2e-5), name
    figures = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    lines = [record.pop("validation") for record in figures]
    assert figures[0] == figures[1]
    for alone, together in zip(*lines, strict=True):
        assert together == pytest.approx(alone, abs=2e-4)
    assert not (tmp_path / ".two.pretraining").exists()
