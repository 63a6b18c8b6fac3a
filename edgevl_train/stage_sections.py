"""The parts of a recipe that say how a stage learns: its schedule, and what it learns by."""

from typing import Literal

from pydantic import Field, model_validator

from edgevl_train.sections import Section


class StageSection(Section):
    """What both stages have: AdamW and its schedule, see :func:`edgevl_train.training.loop.fit`.

    ``batch`` is the global one, over all processes; ``accumulate`` batches make one optimiser step.
    ``warmup_steps`` counts optimiser steps. ``ema_decay`` 0: no average of the weights. ``patience`` 0: no
    early stop.
    """

    epochs: int
    batch: int
    lr: float = Field(gt=0)
    min_lr: float = Field(ge=0)
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(5.0, gt=0)
    accumulate: int = Field(1, ge=1)
    ema_decay: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(0, ge=0, description="epochs without a better validation score")

    def ends(self, epoch: int, best_epoch: int) -> bool:
        """Whether nothing follows after so many epochs: all are done, or ``patience`` without a better score."""
        return epoch >= self.epochs or (self.patience > 0 and epoch - max(best_epoch, 0) >= self.patience)

    @model_validator(mode="after")
    def _falls(self) -> "StageSection":
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above lr {self.lr:g}: the rate falls from lr to min_lr")
        return self


class ObjectiveSection(StageSection):
    """What both stages learn by, see :func:`edgevl_train.objectives.combined.make_objective`.

    Weights of the distance to the teacher's embedding; of the divergence from its answers over the label set and over
    the recipe's ``vocabulary``; of how alike a batch's images are to each other; and of the contrast between a batch's
    students and teachers. 0: that part is left out. What each is: docs/recipes.md.
    """

    distil_weight: float = Field(1.0, ge=0)
    label_weight: float = Field(0.0, ge=0)
    vocabulary_weight: float = Field(0.0, ge=0)
    relation_weight: float = Field(0.0, ge=0)
    contrast_weight: float = Field(0.0, ge=0)

    @property
    def learns_vocabulary(self) -> bool:
        """Whether the recipe's ``vocabulary`` is needed."""
        return self.vocabulary_weight > 0

    @model_validator(mode="after")
    def _learns_something(self) -> "ObjectiveSection":
        weights = [name for name in type(self).model_fields if name.endswith("_weight")]
        if self.epochs and not any(getattr(self, name) for name in weights):
            raise ValueError(f"{', '.join(weights)} are all 0: nothing would be learned; use another, or epochs: 0")
        return self


class Stage1Section(ObjectiveSection):
    """Distillation, METHOD.md "Stage 1"; with networks beside the student that are thrown away after it.

    ``epochs: 0`` keeps first weights that are a student's already.
    ``exit_weight``: exits after the student's stages, scored on words (OFA-KD). ``pca_weight``, ``gl_weight``: its last
    map, projected to the teacher's tokens (Clip4Retrofit); ``adversary_weight``: a discriminator of these, over views.
    ``checkpointing``: less memory for more time, where the backbone can; BatchNorm's statistics then move twice a step.
    """

    epochs: int = Field(120, ge=0)
    small_share: float = Field(
        0.0, ge=0, lt=1, description="of the epochs, the first: with smaller pictures, in less time"
    )
    small_scale: float = Field(0.5, gt=0, le=1, description="the side of these, next to the student's")
    start_share: float = Field(
        0.0, ge=0, lt=1, description="of the first weights in those that are judged and kept, see training/loop.py"
    )
    batch: int = Field(32, ge=2, description="pairs; the network sees twice as many images")
    loss: Literal["l1", "cosine", "mse"] = "cosine"
    lr: float = Field(1e-3, gt=0)
    min_lr: float = Field(5e-6, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    exit_weight: float = Field(0.0, ge=0)
    exit_gamma: float = Field(1.2, ge=1, le=2)
    exit_words: Literal["labels", "vocabulary"] = "vocabulary"
    pca_weight: float = Field(0.0, ge=0)
    gl_weight: float = Field(0.0, ge=0)
    adversary_weight: float = Field(0.0, ge=0)
    checkpointing: bool = False

    @property
    def learns_vocabulary(self) -> bool:
        """Whether the recipe's ``vocabulary`` is needed."""
        return self.vocabulary_weight > 0 or (self.exit_weight > 0 and self.exit_words == "vocabulary")

    def small_px(self, size_px: int) -> int:
        """Side of the pictures of the first epochs, of a student of ``size_px``: 16 at least."""
        return min(size_px, max(16, round(self.small_scale * size_px)))

    @property
    def learns_tokens(self) -> bool:
        """Whether the teacher's tokens are needed."""
        return self.pca_weight > 0 or self.gl_weight > 0

    @property
    def helped(self) -> bool:
        """Whether something is trained beside the student."""
        return self.learns_tokens or self.exit_weight > 0

    @model_validator(mode="after")
    def _tells_something_apart(self) -> "Stage1Section":
        if self.adversary_weight and not self.gl_weight:
            raise ValueError("adversary_weight tells apart the tokens that gl_weight makes, which is 0: give both")
        return self


class Stage2Section(ObjectiveSection):
    """Quantisation-aware contrastive learning, METHOD.md "Stage 2". ``epochs: 0`` calibrates only."""

    epochs: int = Field(20, ge=0)
    batch: int = Field(64, ge=2, description="pairs; triplets are mined among all images of a batch")
    lr: float = Field(1e-4, gt=0)
    min_lr: float = Field(1e-6, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    margin: float = Field(0.3, gt=0)
    negatives: int = Field(3, ge=1)
    cross_modal: bool = True
    triplet_weight: float = Field(0.1, ge=0)
    calibration_pairs: int = Field(256, ge=1)
    weight_bits: Literal[4, 7, 8] = Field(
        8, description="7: for robots with x86 without VNNI, where 8 saturates (docs/results.md); 4: docs/npu.md"
    )
    weight_scale: Literal["per_channel", "per_tensor"] = "per_channel"
    power_of_two: bool = Field(False, description="all scales, for hardware that shifts; docs/npu.md")
