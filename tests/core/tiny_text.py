"""A text encoder small enough for unit tests: real tokenizers and ONNX files, of letters and their mean direction."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from edgevl_core.bundle.label_bank import build_label_bank
from edgevl_core.bundle.labels import DEFAULT_TEMPLATES, Label, LabelSet
from edgevl_core.bundle.text_encoder import EMBEDDING, TEXT_ENCODER_FILE, TOKENIZER_FILE, TOKENS, OnnxTextEncoder
from tests.core.tiny import write_colour_bundle

CONTEXT_LENGTH = 64


def write_text_encoder(directory: Path, dim: int, *, seed: int = 0, layers: int = 0, width: int = 512) -> Path:
    """Both files in ``directory``; ``layers`` of ``width`` make it slow, and the vectors no other."""
    directory.mkdir(exist_ok=True)
    letters = {letter: i for i, letter in enumerate(["!", *(c for c in _byte_letters() if c != "!")])}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.enable_truncation(CONTEXT_LENGTH)
    tokenizer.enable_padding(length=CONTEXT_LENGTH, pad_id=0, pad_token="!")
    tokenizer.save(str(directory / TOKENIZER_FILE))

    rng = np.random.default_rng(seed)
    constants = {
        "table": rng.normal(size=(len(letters), dim)).astype(np.float32),
        "widen": np.zeros((dim, width), np.float32),
        "layer": np.eye(width, dtype=np.float32),
        "narrow": np.zeros((width, dim), np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", TOKENS], ["letters"]),
        helper.make_node("ReduceMean", ["letters", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "widen"], ["hidden0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"hidden{k}", "layer"], [f"hidden{k + 1}"]) for k in range(layers)]
    nodes += [
        helper.make_node("MatMul", [f"hidden{layers}", "narrow"], ["nothing"]),
        helper.make_node("Add", ["mean", "nothing"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], [EMBEDDING], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["N", CONTEXT_LENGTH])],
        [helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["N", dim])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(directory / TEXT_ENCODER_FILE))
    return directory


def write_speaking_bundle(path: Path, names: Sequence[str], templates: Sequence[str] = DEFAULT_TEMPLATES) -> Path:
    """The bundle of the tiny student with a text encoder, and a label bank that this one made."""
    text = write_text_encoder(path.with_name(f"{path.name}_text"), 3)
    labels = LabelSet(templates=tuple(templates), labels=tuple(Label(name=name) for name in names))
    write_colour_bundle(path, bank=build_label_bank([labels], OnnxTextEncoder(text)), text_encoder=text)
    return path


def _byte_letters() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())
