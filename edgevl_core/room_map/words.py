"""The words of a bundle without its student: what names rooms, and what they are asked for by."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import Manifest
from edgevl_core.bundle.self_test import try_bundle
from edgevl_core.bundle.student_bundle import load_words, text_encoder_in
from edgevl_core.bundle.vocabulary import bank_with, new_words
from edgevl_core.room_map.rooms import Words


def words_of(manifest: Manifest, bank: LabelBank, labels: Sequence[str] = ()) -> Words:
    """A label set; none given: the one that the bundle was made for.

    Raises:
        UserError: ``bank`` lacks one of ``labels``, or two are one label of it, such as a name and its synonym.
    """
    chosen = bank.select_apart(labels or manifest.labels)
    return Words(tuple(chosen.names), chosen.vectors, manifest.logit_scale, manifest.teacher)


@dataclass(frozen=True)
class Dictionary:
    """Manifest and label bank of the bundle in ``path``; ``trusted``: public keys, one of which must have signed it."""

    path: Path
    manifest: Manifest
    bank: LabelBank
    trusted: Sequence[str] = ()

    def words(self, labels: Sequence[str] = ()) -> Words:
        """See :func:`words_of`; words that the bank has not are encoded where the bundle has a text encoder: slow.

        Raises:
            UserError: there is no vector for one of them, or two are one label.
        """
        return words_of(self.manifest, self._with(labels), labels)

    def vector(self, word: str) -> NDArray[np.float32] | None:
        """(D,) of length 1; None where the bundle does not know the word. Slow where it has to be encoded."""
        bank = self._with([word])
        row = bank.find(word)
        return None if row is None else bank.vectors[row]

    def _with(self, labels: Sequence[str]) -> LabelBank:
        return bank_with(self.bank, labels, self._text_encoder) if new_words(self.bank, labels) else self.bank

    @cached_property
    def _text_encoder(self) -> Path | None:
        """Its directory where the bundle has one, which is tried in a process of its own before it is run here."""
        found = text_encoder_in(self.path, self.manifest)
        if found is not None:
            tried = try_bundle(self.path, fall_back=True, trusted=self.trusted)
            if tried.bundle_id != self.manifest.bundle_id:
                raise UserError(
                    f"{self.path} holds bundle {tried.bundle_id}, no longer {self.manifest.bundle_id}: put that one "
                    "there, or load the other"
                )
        return found


def open_dictionary(path: Path | str, trusted: Sequence[str] = ()) -> Dictionary:
    """Of a bundle; ``trusted``: public keys, see :func:`edgevl_core.bundle.student_bundle.load_words`.

    Raises:
        UserError: the bundle is refused.
    """
    return Dictionary(Path(path), *load_words(path, trusted), trusted)


def open_bundle(path: str, bundle_id: str, trusted: Sequence[str] = ()) -> Dictionary:
    """The dictionary of the very bundle that scene_classifier has loaded.

    Raises:
        UserError: it is not there, or another one is.
    """
    dictionary = open_dictionary(path, trusted)
    if dictionary.manifest.bundle_id != bundle_id:
        raise UserError(
            f"{path} holds bundle {dictionary.manifest.bundle_id}, scene_classifier runs {bundle_id}: set the "
            "parameter bundle to a copy of that one"
        )
    return dictionary
