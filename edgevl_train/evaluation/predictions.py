"""What a model says about many pairs at once, by the rules of the robot's classifier."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle.fusion import mix, probabilities
from edgevl_core.bundle.manifest import ByModality, Modality

MODALITIES: tuple[Modality, ...] = ("rgb", "depth", "rgbd")


@dataclass(frozen=True)
class Embedded:
    """N pairs as one model sees them.

    Attributes:
        rgb, depth: (N, D) float32, L2-normalised.
        quality: (2, N) float32 in 0..1, trust in RGB and in depth, see :mod:`edgevl_core.bundle.fusion`.
        sees_depth: False: given both images the classifier looks at RGB alone, in the dark as well.
    """

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    quality: NDArray[np.float32]
    sees_depth: bool = True

    def by_modality(self) -> dict[Modality, NDArray[np.float32]]:
        """(N, D) float32 each; "rgbd" is the mixture by quality, of length <= 1."""
        both = mix(np.stack([self.rgb, self.depth]), self.quality) if self.sees_depth else self.rgb
        return {"rgb": self.rgb, "depth": self.depth, "rgbd": both}

    def useful(self) -> dict[Modality, NDArray[np.bool_]]:
        """(N,) bool each: whether there was anything to see."""
        rgb, depth = self.quality > 0
        return {"rgb": rgb, "depth": depth, "rgbd": rgb | (depth & self.sees_depth)}

    def fused(self) -> NDArray[np.bool_]:
        """(N,) bool: where the classifier, given both images, answers from both and says "rgbd"."""
        rgb, depth = self.quality > 0
        return (rgb == depth) & self.sees_depth

    def of_rows(self, values: ByModality) -> dict[Modality, NDArray[np.float64]]:
        """(N,) each: the number in force. Where one camera sees nothing, "rgbd" takes that of the other."""
        count = len(self.rgb)
        alone = np.where((self.quality[0] > 0) | (not self.sees_depth), values.rgb, values.depth)
        return {
            "rgb": np.full(count, values.rgb),
            "depth": np.full(count, values.depth),
            "rgbd": np.where(self.fused(), values.rgbd, alone),
        }


@dataclass(frozen=True)
class Answers:
    """One modality's answers to N pairs.

    Attributes:
        label: (N,) int64, row of the label set.
        confidence: (N,) float32, its calibrated probability.
        certainty: (N,) float32, what "unknown" is decided by: the confidence, and 0 where nothing was to be seen.
        known: (N,) bool.
    """

    label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    certainty: NDArray[np.float32]
    known: NDArray[np.bool_]


def answers(
    embedded: Embedded,
    vectors: NDArray[np.float32],
    logit_scale: float,
    temperature: ByModality,
    unknown_threshold: ByModality,
) -> Mapping[Modality, Answers]:
    """Answers over the label set of ``vectors`` (C, D), as the Classifier gives them."""
    useful, warmth, limit = embedded.useful(), embedded.of_rows(temperature), embedded.of_rows(unknown_threshold)
    found = {}
    for modality, embedding in embedded.by_modality().items():
        p = probabilities(embedding / warmth[modality][:, None], vectors, logit_scale, 1.0)
        confidence = p.max(1)
        found[modality] = Answers(
            p.argmax(1),
            confidence,
            np.where(useful[modality], confidence, np.float32(0)),
            useful[modality] & (confidence >= limit[modality]),
        )
    return found
