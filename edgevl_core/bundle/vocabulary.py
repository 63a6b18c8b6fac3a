"""Words that users ask for: checked, and looked up in a bank that learns the ones it lacks."""

from collections.abc import Sequence
from pathlib import Path

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.label_bank import LabelBank, TextEncoder, mean_direction
from edgevl_core.bundle.labels import normalise_word
from edgevl_core.bundle.manifest import plain_text
from edgevl_core.bundle.text_encoder import OnnxTextEncoder

MAX_WORD_CHARACTERS = 100
# float32 towers agree to 0.9999; vectors of another teacher are nowhere near.
MIN_BANK_COSINE = 0.99


def check_words(words: Sequence[str], max_labels: int) -> list[str]:
    """The words with white space as single spaces, repetitions left in.

    Raises:
        UserError: too many words, a blank one, or one that is no word but a text, or holds control characters.
    """
    if len(words) > max_labels:
        raise UserError(f"{len(words)} labels: at most {max_labels} are accepted (parameter max_labels)")
    tidy = [" ".join(word.split()) for word in words]
    blank = [str(number) for number, word in enumerate(tidy, 1) if not normalise_word(word)]
    if blank:
        raise UserError(f"label {', '.join(blank)} of {len(words)} is blank: leave it out, or give it a name")
    for word in tidy:
        if len(word) > MAX_WORD_CHARACTERS:
            raise UserError(
                f"label {word[:20]!r}... has {len(word)} characters: at most {MAX_WORD_CHARACTERS} are accepted"
            )
        try:
            plain_text(word)
        except ValueError as error:
            raise UserError(f"label {one_line(word)!r}: {error}") from error
    return tidy


def new_words(bank: LabelBank, words: Sequence[str]) -> list[str]:
    """Those of ``words`` that the bank does not know, each once, as it was first written."""
    missing: dict[str, str] = {}
    for word in words:
        if bank.find(word) is None:
            missing.setdefault(normalise_word(word), word)
    return list(missing.values())


def bank_with(bank: LabelBank, words: Sequence[str], text_encoder: Path | None) -> LabelBank:
    """The bank with a vector for each of ``words``; slow where it has to encode some.

    Args:
        bank: in the text encoder's space.
        words: as from ``check_words``.
        text_encoder: the directory with the text encoder's files; None: there is none, and the bank is returned as it
            is.

    Raises:
        UserError: the text encoder cannot be loaded, or is not the one that made the bank.
    """
    missing = new_words(bank, words)
    if not missing or text_encoder is None:
        return bank
    encode_text = OnnxTextEncoder(text_encoder)
    check_encoder(bank, encode_text)
    return bank.extend(missing, encode_text)


def check_encoder(bank: LabelBank, encode_text: TextEncoder) -> None:
    """Make the vector of the bank's first label again, to see that the encoder is the bank's own.

    Raises:
        UserError: it comes out different.
    """
    made = encode_text(list(bank.prompts[0]))
    if made.shape[1] != bank.vectors.shape[1]:
        raise UserError(f"text encoder of {made.shape[1]} dimensions, the label bank has {bank.vectors.shape[1]}")
    cosine = float(mean_direction(made) @ bank.vectors[0])
    if not cosine >= MIN_BANK_COSINE:  # also refuses NaN
        raise UserError(
            f"the text encoder does not reproduce the label bank's vector of {bank.names[0]!r} (cosine "
            f"{cosine:.4f}, at least {MIN_BANK_COSINE} is needed): it belongs to another teacher; make the bundle again"
        )
