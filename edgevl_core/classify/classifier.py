"""From images to a scene in words: student, label bank, calibration, and both cameras weighed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.fusion import depth_quality, mix, probabilities, rgb_quality
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import Modality
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.bundle.vocabulary import bank_with, new_words
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.preprocess import fill_batch, to_batch, to_input

Image = NDArray[np.uint8] | MeasuredDepth
# (N,) float32 probabilities in the label set's order -> those to publish, and the index of the label.
Choose = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], int]]


def most_probable(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Each frame by itself."""
    return probabilities, int(probabilities.argmax())


@dataclass(frozen=True)
class Scene:
    """One answer.

    Attributes:
        label: the most probable label, also where it is not known well enough; under hysteresis the one in force,
            which then may be another than ``labels[0]``.
        confidence: its calibrated probability, 0..1; smoothed over time where that was asked for.
        known: confidence reaches the modality's threshold, and the input was worth looking at.
        labels: the whole label set, most probable first.
        scores: their probabilities, in that order; the sum is 1.
        modality: what the answer rests on, "rgb", "depth" or "rgbd".
        embedding: (D,) float32, L2-normalised.
        inference_s: how long the student's network took, seconds.
    """

    label: str
    confidence: float
    known: bool
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    modality: Modality
    embedding: NDArray[np.float32]
    inference_s: float = 0.0


class _Embedded(NamedTuple):
    """What the student made of a frame.

    Attributes:
        embedding: (D,) float32, length <= 1.
        useful: whether any input was worth looking at.
        inference_s: see Scene.
    """

    modality: Modality
    embedding: NDArray[np.float32]
    useful: bool
    inference_s: float


@dataclass(frozen=True)
class LabelChange:
    """Result of :meth:`Classifier.set_labels`.

    Attributes:
        message: one line for people: what was done.
        effective: the label set now in force.
        version: number of the label set in force; 1 at first.
    """

    message: str
    effective: tuple[str, ...]
    version: int


class UnknownLabels(UserError):
    """``words``: those that neither the bundle's label bank nor its text encoder has a vector for."""

    def __init__(self, message: str, words: tuple[str, ...]) -> None:
        super().__init__(message)
        self.words = words


class Classifier:
    """Names scenes with a bundle's student. Not for use by several threads at a time.

    Attributes:
        bundle_id: of the bundle in use.
        label_set_version: counts successful label changes; 1 at first.
    """

    def __init__(self, bundle: Bundle, labels: Sequence[str] | None = None, bank: LabelBank | None = None) -> None:
        """``labels``: the label set to start with; None: the one the bundle was made for. ``bank``: see set_labels.

        Raises:
            UserError: as ``set_labels``.
        """
        self.bundle_id = bundle.manifest.bundle_id
        self.label_set_version = 0
        self._bundle, self._manifest = bundle, bundle.manifest
        self._bank: LabelBank = bundle.label_bank
        self._active: LabelBank = bundle.label_bank
        size_px = self._manifest.preprocess.size_px
        self._pixels = np.zeros((2, 3, size_px, size_px), dtype=np.uint8)
        self._last: _Embedded | None = None
        self.set_labels(self._manifest.labels if labels is None else labels, bank)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set in force."""
        return self._active.names

    @property
    def bank(self) -> LabelBank:
        """The words that may be chosen: the bundle's, and those that ``set_labels`` was given since."""
        return self._bank

    def set_labels(self, names: Sequence[str], bank: LabelBank | None = None) -> LabelChange:
        """Choose the words of the next answers.

        Names and synonyms count in any case; a synonym becomes its label's name, a repetition is left out and
        noted.

        Args:
            names: the words.
            bank: replaces the bank in use; from :meth:`bank_for`, for who lets that take its time elsewhere. None: it
                is made here, which takes milliseconds for words of the bundle's label bank, and seconds for others.

        Raises:
            UnknownLabels: words that have no vector; the label set stays as it is.
            UserError: no words; the text encoder cannot be used.
        """
        if not names:
            raise UserError("no labels given: at least one is needed; the label set stays as it is")
        bank = self.bank_for(names) if bank is None else bank
        rows = [bank.find(name) for name in names]
        if unknown := tuple(name for name, row in zip(names, rows) if row is None):
            without = "" if self._bundle.text_encoder else " and has no text encoder for other words"
            raise UnknownLabels(
                f"unknown labels: {one_line(', '.join(unknown), 1000)}; this bundle knows "
                f"{one_line(', '.join(bank.names), 1000)}{without}; the label set stays as it is",
                unknown,
            )
        chosen = tuple(dict.fromkeys(bank.names[row] for row in rows if row is not None))
        self._bank, self._active = bank, bank.select(chosen)
        self.label_set_version += 1
        message = f"{len(chosen)} labels"
        if repeated := len(names) - len(chosen):
            message += f" ({repeated} repeated, left out)"
        if len(chosen) == 1:
            message += "; with a single label every scene is called that, with confidence 1"
        return LabelChange(message, chosen, self.label_set_version)

    def must_encode(self, words: Sequence[str]) -> bool:
        """Whether ``bank_for`` would take its time."""
        return self._bundle.text_encoder is not None and bool(new_words(self._bank, words))

    def bank_for(self, words: Sequence[str]) -> LabelBank:
        """A bank that knows ``words`` if that is possible; it holds no words of earlier requests, so it cannot grow.

        Raises:
            UserError: the text encoder cannot be loaded, or is not the one that made the bundle's bank.
        """
        if not new_words(self._bank, words):
            return self._bank
        return bank_with(self._bundle.label_bank, words, self._bundle.text_encoder)

    def embed_words(self, words: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, L2-normalised: where the words lie in the space of ``embed``; the label set stays as it is.

        Raises:
            UserError: a word that neither the bundle's label bank nor its text encoder knows.
        """
        return self.bank_for(words).select(words).vectors

    def classify(
        self,
        rgb: NDArray[np.uint8] | None = None,
        depth: MeasuredDepth | None = None,
        choose: Choose = most_probable,
    ) -> Scene:
        """Name one scene from what its cameras saw.

        With both, the cameras are weighed by input quality, and one that sees nothing (lights out, nearly all
        holes) is left out: ``modality`` says what was used. Where nothing useful is seen at all,
        ``known`` is False, as for depth alone where the bundle knows RGB only.

        Args:
            rgb: (H, W, 3) uint8.
            depth: (H, W) float32 metres, NaN invalid, or uint16 millimetres, 0 invalid.
            choose: from the frame's probabilities to the answer's, such as a
                :class:`~edgevl_core.classify.smoothing.Smoother`. Not asked about a frame that shows nothing useful:
                such a frame is answered by itself and leaves no trace.

        Raises:
            UserError: neither is given, or one is of another kind.
        """
        self._last = self._embed_frame(rgb, depth)
        return self._to_scene(self._last, choose)

    def reclassify(self, choose: Choose = most_probable) -> Scene | None:
        """The last frame named by the words in force now, without a run of the network; None before the first."""
        return None if self._last is None else self._to_scene(self._last, choose)

    def _to_scene(self, look: _Embedded, choose: Choose) -> Scene:
        modality, embedding, useful, inference_s = look
        manifest = self._manifest
        scores = probabilities(embedding, self._active.vectors, manifest.logit_scale, manifest.temperature.of(modality))
        scores, index = choose(scores) if useful else most_probable(scores)
        order = np.argsort(-scores, kind="stable")
        confidence = float(scores[index])
        names = self._active.names
        return Scene(
            label=names[index],
            confidence=confidence,
            known=useful and confidence >= manifest.unknown_threshold.of(modality),
            labels=tuple(names[i] for i in order),
            scores=tuple(scores[order].tolist()),
            modality=modality,
            embedding=embedding / np.float32(max(float(np.linalg.norm(embedding)), 1e-12)),
            inference_s=inference_s,
        )

    def embed(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """N >= 1 images, each RGB (H, W, 3) uint8 or depth (H, W) as in ``classify`` -> (N, D) float32 of length 1."""
        if not len(images):
            raise UserError("embed: no images given; at least one is needed")
        inputs = [to_input(image, self._manifest.preprocess) for image in images]
        return self._bundle.engine(to_batch(inputs))

    def _embed_frame(self, rgb: NDArray[np.uint8] | None, depth: MeasuredDepth | None) -> _Embedded:
        if getattr(rgb, "ndim", 0) == 2 or getattr(depth, "ndim", 0) == 3:
            raise UserError("classify: rgb has the shape of a depth image, or depth that of a colour image: swap them")
        preprocess = self._manifest.preprocess
        seen: list[tuple[Modality, NDArray[np.uint8], float]] = []
        if rgb is not None:
            pixels = to_input(rgb, preprocess)
            seen.append(("rgb", pixels, float(rgb_quality(pixels, self._manifest.trust.rgb))))
        if depth is not None and (self._manifest.sees_depth or rgb is None):
            pixels = to_input(depth, preprocess)
            seen.append(("depth", pixels, float(depth_quality(pixels, self._manifest.trust.depth))))
        if not seen:
            raise UserError("classify: neither rgb nor depth is given; at least one is needed")
        used = [entry for entry in seen if entry[2] > 0] or seen
        # One run for the pair: the weights are read once, and two threads have something to share.
        batch = fill_batch(self._pixels, [pixels for _, pixels, _ in used])
        embeddings = self._bundle.engine(batch)
        inference_s = self._bundle.engine.recent_s.newest
        useful = used[0][2] > 0
        if len(used) == 1:
            return _Embedded(used[0][0], embeddings[0], useful, inference_s)
        weights = np.array([entry[2] for entry in used], dtype=np.float32)
        return _Embedded("rgbd", mix(embeddings, weights), useful, inference_s)
