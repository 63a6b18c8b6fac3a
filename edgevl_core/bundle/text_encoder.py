"""A teacher's text tower on the robot, for words that the label bank has no vector for.

Two files, which a bundle may hold: ``text_encoder.onnx``, (N, T) int64 "tokens" -> (N, D) float32 "text_embedding", and
``tokenizer.json`` of the `tokenizers` library, which cleans, splits, frames and pads a text to T tokens.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.engine import open_session

TEXT_ENCODER_FILE, TOKENIZER_FILE = "text_encoder.onnx", "tokenizer.json"
TEXT_FILES = (TEXT_ENCODER_FILE, TOKENIZER_FILE)
# Not "embedding": the exporter gives that name to the token table's output.
TOKENS, EMBEDDING = "tokens", "text_embedding"
BATCH = 32
MAX_SIDE = 1 << 14  # tokens of a text, dimensions of a vector


class OnnxTextEncoder:
    """Sentences in, unit vectors out. A tower takes hundreds of megabytes: make one when it is needed, then let it go.

    Attributes:
        context_length: T.
        embedding_dim: D.
    """

    def __init__(self, directory: Path | str, threads: int = 1) -> None:
        """Open both files in ``directory``, always on the CPU.

        Raises:
            UserError: a file is missing or not what it should be, or `tokenizers` is not installed.
        """
        try:
            from tokenizers import Tokenizer  # late: a robot whose labels are all in the bank needs none
        except ImportError as error:
            raise UserError("new words need the tokenizers library: pip install tokenizers") from error
        path, tokenizer = Path(directory) / TEXT_ENCODER_FILE, Path(directory) / TOKENIZER_FILE
        if not path.is_file() or not tokenizer.is_file():
            raise UserError(f"{directory} has no text encoder: {' and '.join(TEXT_FILES)} are needed")
        self._session = open_session(path, threads, ["CPUExecutionProvider"])
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = [(node.name, node.type, len(node.shape)) for node in (*inputs, *outputs)]
        if found != [(TOKENS, "tensor(int64)", 2), (EMBEDDING, "tensor(float)", 2)]:
            raise UserError(
                f"{path} is not a text encoder: (N, T) int64 '{TOKENS}' -> (N, D) float32 '{EMBEDDING}' is expected, "
                f"found {found}"
            )
        sizes = inputs[0].shape[1], outputs[0].shape[1]
        if not all(isinstance(size, int) and 1 <= size <= MAX_SIDE for size in sizes):
            raise UserError(
                f"{path} is not a text encoder: {sizes} tokens and dimensions, 1 to {MAX_SIDE} are accepted"
            )
        self.context_length, self.embedding_dim = sizes
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            padding = self._tokenizer.padding or {}
            fits = padding.get("length") == self.context_length  # before it is asked to pad to what it says
            fits = fits and len(self._tokenizer.encode("a").ids) == self.context_length
        except Exception as error:  # the library raises bare Exception
            raise UserError(
                f"{tokenizer} cannot be read ({one_line(str(error), 200)}): make the bundle again"
            ) from error
        if not fits:
            raise UserError(f"{tokenizer} does not pad to the {self.context_length} tokens of {path.name}")

    def tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(N, T) int64."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        return np.array(rows, dtype=np.int64).reshape(len(rows), self.context_length)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, L2-normalised embeddings of the texts as they are; no template is put around them."""
        tokens = self.tokens(texts)
        parts = [
            self._session.run([EMBEDDING], {TOKENS: tokens[start : start + BATCH]})[0]
            for start in range(0, len(tokens), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.embedding_dim), np.float32)
