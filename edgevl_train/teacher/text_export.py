"""A teacher's text tower for the robot: ``text_encoder.onnx`` and ``tokenizer.json``."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.text_encoder import EMBEDDING, TEXT_ENCODER_FILE, TOKENIZER_FILE, TOKENS
from edgevl_train.quantise.to_onnx import to_onnx
from edgevl_train.teacher.json_tokenizer_export import own_tokenizer_json
from edgevl_train.teacher.model import ClipModel, Teacher
from edgevl_train.teacher.tokenizer import JsonTokenizer
from edgevl_train.teacher.tokenizer_export import tokenizer_json

# An ONNX file is one protobuf message, which cannot be larger.
MAX_ONNX_BYTES = 2**31 - 1


def export_text_encoder(teacher: Teacher, directory: Path) -> None:
    """Write text_encoder.onnx, (N, T) int64 -> (N, D) float32 unit vectors, and tokenizer.json into ``directory``.

    ``write_bundle(text_encoder=directory)`` puts them into a bundle. The teacher is left as it is.

    Args:
        directory: exists; files of these names in it are replaced.

    Raises:
        UserError: see :func:`exportable`.
    """
    tokenizer = exportable(teacher)
    tower = _TextTower(teacher.model)
    device = teacher.model.logit_scale.device
    example = teacher.tokenizer(["a room", "two rooms"]).to(device)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX counterpart
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own internals; a failure still raises
            model = to_onnx(tower, example, TOKENS, EMBEDDING, torch.export.Dim("N"))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    atomic_write(directory / TEXT_ENCODER_FILE, model.SerializeToString())
    atomic_write(directory / TOKENIZER_FILE, tokenizer)


def exportable(teacher: Teacher) -> bytes:
    """What tokenizer.json will hold; asked before a run that is to end with a text encoder.

    Raises:
        UserError: the teacher's tokenizer is neither CLIP's BPE nor a tokenizer.json, or would give other tokens on the
            robot; its text tower is too large for one ONNX file.
    """
    size = sum(p.numel() * p.element_size() for name, p in teacher.model.named_parameters() if "visual." not in name)
    if size > MAX_ONNX_BYTES:
        raise UserError(
            f"teacher {teacher.id}: its text tower of {size / 1e9:.1f} GB does not fit into one ONNX file (2 GB): "
            "leave the text encoder out; the label bank needs none"
        )
    tokenizer = teacher.tokenizer
    if isinstance(tokenizer, JsonTokenizer):
        content = own_tokenizer_json(tokenizer, teacher.id)
    else:
        content = tokenizer_json(teacher)
    return json.dumps(content, ensure_ascii=False).encode()


class _TextTower(nn.Module):
    def __init__(self, model: ClipModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.normalize(self.model.encode_text(tokens).float(), dim=-1)
