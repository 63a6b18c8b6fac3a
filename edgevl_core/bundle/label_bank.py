"""The label bank: one text vector per label, so that the robot needs no text tower."""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.arrays import Kind, read_arrays
from edgevl_core.bundle.labels import DEFAULT_TEMPLATES, Label, LabelSet, normalise_word, repeated
from edgevl_core.bundle.manifest import plain_text

TextEncoder = Callable[[list[str]], NDArray[np.float32]]
MAX_OFF_UNIT = 1e-3


@dataclass(frozen=True)
class LabelBank:
    """Labels and their text vectors.

    Attributes:
        names: N names, unique when case-folded.
        prompts: per label the sentences its vector was made from.
        synonyms: per label the other words for it.
        vectors: (N, D) float32, L2-normalised.
        templates: sentences that a new word is put into (see :class:`edgevl_core.bundle.labels.LabelSet`).
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    synonyms: tuple[tuple[str, ...], ...]
    vectors: NDArray[np.float32]
    templates: tuple[str, ...] = DEFAULT_TEMPLATES

    def find(self, word: str) -> int | None:
        """Row of the label that ``word`` (a name or a synonym, in any case) stands for; None if unknown."""
        return self._rows().get(normalise_word(word))

    def select(self, names: Sequence[str]) -> "LabelBank":
        """The bank of some labels, in the given order.

        Raises:
            UserError: a word that is neither a name nor a synonym.
        """
        rows = [self.find(name) for name in names]
        if unknown := [name for name, row in zip(names, rows) if row is None]:
            raise UserError(f"labels {unknown} are not in the bank: choose among {', '.join(self.names)}")
        known = [row for row in rows if row is not None]
        return LabelBank(
            names=tuple(self.names[row] for row in known),
            prompts=tuple(self.prompts[row] for row in known),
            synonyms=tuple(self.synonyms[row] for row in known),
            vectors=np.ascontiguousarray(self.vectors[known]),
            templates=self.templates,
        )

    def select_apart(self, names: Sequence[str]) -> "LabelBank":
        """As :meth:`select`, for a label set, in which every label occurs once.

        Raises:
            UserError: as of ``select``, or two are one label, such as a name and its synonym.
        """
        chosen = self.select(names)
        if twice := repeated(chosen.names):
            alike = [name for name in names if self.find(name) == self.find(twice[0])]
            raise UserError(
                f"labels {', '.join(map(repr, alike))} are one label of the bundle, {twice[0]!r}: every label may "
                "occur once only; keep one of them"
            )
        return chosen

    def extend(self, words: Sequence[str], encode_text: TextEncoder) -> "LabelBank":
        """The bank with further labels behind its own, made from its templates as its own were.

        Args:
            words: names that the bank has not, without repetitions.
            encode_text: sentences -> (N, D) float32, L2-normalised, in the bank's space.

        Raises:
            UserError: no words.
        """
        own = LabelSet(templates=self.templates, labels=tuple(Label(name=word) for word in words))
        new = build_label_bank([own], encode_text)
        return LabelBank(
            names=self.names + new.names,
            prompts=self.prompts + new.prompts,
            synonyms=self.synonyms + new.synonyms,
            vectors=np.concatenate([self.vectors, new.vectors]),
            templates=self.templates,
        )

    def save(self, path: Path | str) -> None:
        """Write ``label_bank.npz``: ``vectors`` (N, D) float32 and ``words``, JSON text (no pickle)."""
        words = {
            "names": self.names,
            "prompts": self.prompts,
            "synonyms": self.synonyms,
            "templates": self.templates,
        }
        text = np.frombuffer(json.dumps(words, ensure_ascii=False).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, vectors=np.ascontiguousarray(self.vectors, np.float32), words=text)
        atomic_write(path, buffer.getvalue())

    def _rows(self) -> dict[str, int]:
        rows = {normalise_word(word): i for i, words in enumerate(self.synonyms) for word in words}
        rows.update({normalise_word(name): i for i, name in enumerate(self.names)})
        return rows


def build_label_bank(label_sets: Iterable[LabelSet], encode_text: TextEncoder) -> LabelBank:
    """Encode label files with the teacher's text tower.

    A label's vector is the mean of its texts' unit vectors, brought back to unit length (CLIP's prompt
    ensembling, Radford et al. 2021, section 3.1.4).

    Args:
        label_sets: the robot's own set first, whose templates the bank keeps; a label of a later set is added only
            where none of its words is taken.
        encode_text: sentences -> (N, D) float32, L2-normalised.

    Raises:
        UserError: no label at all.
    """
    label_sets = list(label_sets)
    chosen: list[tuple[Label, list[str]]] = []
    taken: set[str] = set()
    for label_set in label_sets:
        for label in label_set.labels:
            words = {normalise_word(word) for word in (label.name, *label.synonyms)}
            if not words & taken:
                chosen.append((label, label_set.texts(label)))
                taken |= words
    if not chosen:
        raise UserError("label bank: no labels given; at least one is needed")
    vectors = encode_text([text for _, texts in chosen for text in texts])
    ends = np.cumsum([len(texts) for _, texts in chosen])[:-1]
    means = [mean_direction(part) for part in np.split(vectors, ends)]
    return LabelBank(
        names=tuple(label.name for label, _ in chosen),
        prompts=tuple(tuple(texts) for _, texts in chosen),
        synonyms=tuple(label.synonyms for label, _ in chosen),
        vectors=np.stack(means),
        templates=label_sets[0].templates,
    )


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) unit vectors -> (D,) float32, their mean brought back to unit length."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def load_label_bank(path: Path | str) -> LabelBank:
    """Read ``label_bank.npz``, trusting nothing in it.

    Raises:
        UserError: the file is missing, damaged or too large; its parts do not fit each other; a word stands for two
            labels; a vector is not of length 1.
    """
    path = Path(path)
    arrays = read_arrays(path, {"vectors": Kind(np.float32, 2), "words": Kind(np.uint8, 1)})
    vectors = np.ascontiguousarray(arrays["vectors"])
    try:
        words = _Words.model_validate_json(arrays["words"].tobytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 200)
        raise UserError(f"label bank {path} cannot be read ({reason}): make the bundle again") from error
    bank = LabelBank(words.names, words.prompts, words.synonyms, vectors, words.templates)
    if not bank.names or not len(bank.names) == len(bank.prompts) == len(bank.synonyms) == len(vectors):
        raise UserError(f"label bank {path}: {len(bank.names)} names, vectors {vectors.shape}; make the bundle again")
    check_bank(bank, path)
    return bank


def check_bank(bank: LabelBank, path: Path | str) -> None:
    """Whether every word stands for one label, and every vector has length 1; ``path`` is for the message.

    Raises:
        UserError: naming the first that does not.
    """
    rows: dict[str, int] = {}
    for row, (name, synonyms) in enumerate(zip(bank.names, bank.synonyms)):
        for word in (name, *synonyms):
            known = normalise_word(word)
            if not known or rows.setdefault(known, row) != row:
                what = "stands for two labels" if known else "is blank"
                raise UserError(f"label bank {path}: the word {one_line(word, 40)!r} {what}; make the bundle again")
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(np.linalg.norm(bank.vectors, axis=1) - 1) < MAX_OFF_UNIT)  # also where it is no number
    if wrong.any():
        name = one_line(bank.names[int(wrong.argmax())], 40)
        raise UserError(f"label bank {path}: the vector of {name!r} is not of length 1; make the bundle again")


Word = Annotated[str, AfterValidator(plain_text)]


class _Words(BaseModel):
    """The JSON text in the file; banks of the first releases have no templates."""

    model_config = ConfigDict(frozen=True)

    names: tuple[Word, ...]
    prompts: tuple[tuple[Word, ...], ...]
    synonyms: tuple[tuple[Word, ...], ...]
    templates: tuple[Word, ...] = DEFAULT_TEMPLATES
