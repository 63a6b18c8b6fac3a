"""What the classifier swaps as one: a bundle, its label set, and what smoothing remembers of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.self_test import open_untrusted
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.registration import Registration, parse_registration
from edgevl_core.classify.classifier import Classifier, LabelChange, Scene
from edgevl_core.classify.smoothing import Smoother


@dataclass(frozen=True)
class Model:
    """A bundle in use. ``classify``, ``reclassify`` and ``set_labels`` exclude each other: the caller holds a lock.

    Attributes:
        alone: why no base station computes for it although one is meant to; "" where that is not so.
    """

    bundle: Bundle
    classifier: Classifier
    smoother: Smoother
    alone: str = ""

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What is not as it was meant to be, one line each."""
        return tuple(filter(None, (self.bundle.fallback, self.alone)))

    @cached_property
    def learned(self) -> tuple[Registration, ...]:
        """Whether depth was registered to RGB in the bags that the student learned from."""
        words = dict.fromkeys(bag.registered for bag in self.bundle.manifest.provenance.bags)
        return tuple(map(parse_registration, words))

    def classify(
        self, rgb: NDArray[np.uint8] | None, depth: MeasuredDepth | None, stamp_ns: int
    ) -> tuple[Scene, str, int]:
        """Answer, bundle_id, label_set_version; see :meth:`Classifier.classify`."""
        scene = self.classifier.classify(rgb, depth, partial(self.smoother.update, stamp_ns))
        return scene, self.classifier.bundle_id, self.classifier.label_set_version

    def reclassify(self, stamp_ns: int) -> tuple[Scene, str, int] | None:
        """As ``classify``, about the frame that it saw last, of this stamp; None before the first."""
        scene = self.classifier.reclassify(partial(self.smoother.update, stamp_ns))
        return None if scene is None else (scene, self.classifier.bundle_id, self.classifier.label_set_version)

    def set_labels(self, words: Sequence[str], bank: LabelBank) -> LabelChange:
        """See :meth:`Classifier.set_labels`; what was seen before counts no more."""
        change = self.classifier.set_labels(words, bank)
        self.smoother.reset()
        return change


def load_model(
    path: Path,
    labels: Sequence[str] | None,
    engine: Mapping[str, Any],
    smoother: Smoother,
    trusted: Sequence[str] = (),
    bundle_id: str = "",
) -> Model:
    """A verified bundle with a label set: ``labels``; where that is empty all names it has; where it is None its own.

    It is tried first, see :func:`edgevl_core.bundle.self_test.open_untrusted`. Where its int8 student does not work on
    this processor and "precision" is "auto", the float student answers: ``bundle.fallback``.

    ``engine``: "engine", "providers", "threads" and "precision", see
    :func:`edgevl_core.bundle.student_bundle.load_bundle`, as for ``trusted``. ``bundle_id``: of the bundle that is
    wanted; empty: whichever lies there.

    Raises:
        UserError: the bundle is refused, is another one than is wanted, or has no vector for one of the labels.
    """
    bundle = open_untrusted(path, fall_back=True, trusted=trusted, **engine)
    # Of what was read, not of what lay there before that: a bundle may be exchanged at any time.
    if bundle_id and bundle.manifest.bundle_id != bundle_id:
        raise UserError(
            f"{bundle.path} holds bundle {bundle.manifest.bundle_id}, not {one_line(bundle_id, 80)}, which was asked "
            "for: put that one there, or ask for what is there"
        )
    words = labels if labels is None else labels or bundle.label_bank.names
    return Model(bundle, Classifier(bundle, words), smoother)
