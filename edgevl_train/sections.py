"""The parts of a recipe: frozen, validated models. What they mean is said where they are used."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from edgevl_core.camera.depth import DepthEncoding
from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings
from edgevl_train.student import presets


class Section(BaseModel):
    """A part of the recipe: frozen; unknown keys, and numbers that JSON has no word for, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


def _is_json(value: dict[str, Any]) -> dict[str, Any]:
    """What a run writes into its files at its end: infinities in it would be found out only then."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{value} holds what JSON has no word for ({error}): take finite numbers and text") from error
    return value


Keywords = Annotated[dict[str, Any], AfterValidator(_is_json)]


class StudentSection(Section):
    """Which network is trained; see :func:`edgevl_train.student.network.build_student`.

    For a name among the presets, ``size_px`` and ``head`` default to the preset's; with ``start_from``, what is left
    open is that run's, see :func:`edgevl_train.data.replay.inherited`. First weights: random, those with which an
    earlier run of ``edgevl adapt`` ended (``start_from``), or of a ``pretrained`` backbone: a file, timm's own
    download, the image tower of a teacher that is the same network, or "auto", see :mod:`edgevl_train.new_student`.
    ``pretrained_mean`` and ``pretrained_std``, of RGB in 0..1, are what that file's weights were made for; left out,
    timm's for the name. ``budget_ms`` chooses name and backbone: the most accurate student whose int8 file takes no
    longer here for one image, see :mod:`edgevl_train.budget`. ``merge``: runs whose students' weights are averaged, as
    ``merge_choice`` says, see :mod:`edgevl_train.merge.soup`; `edgevl merge` sets them. ``prune_share``: this share of
    every layer's channels is taken out of the student of ``start_from`` first, see :mod:`edgevl_train.pruning.prune`;
    ``widths`` are what that has left, which the run writes into its recipe.
    """

    name: str = presets.DEFAULT
    size_px: int = Field(224, ge=16, le=1024)
    head: presets.Head = "linear"
    backbone: Keywords = {}
    pretrained: Literal["auto", "teacher", "timm"] | Path | None = None
    pretrained_mean: tuple[float, float, float] | None = None
    pretrained_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    start_from: Path | None = None
    merge: tuple[Path, ...] = ()
    merge_choice: Literal["all", "greedy", "layers"] = "greedy"
    budget_ms: PositiveFloat | None = None
    prune_share: float | None = Field(None, gt=0, lt=1)
    widths: dict[str, tuple[PositiveInt, ...]] = {}

    @model_validator(mode="after")
    def _chosen_freely(self) -> "StudentSection":
        if self.budget_ms is not None and (self.start_from or self.pretrained not in (None, "auto", "timm")):
            raise ValueError("budget_ms chooses the student, and start_from or pretrained has one: give one of them")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> "StudentSection":
        if self.merge and (self.pretrained is not None or self.start_from or self.budget_ms):
            raise ValueError(
                "merge is given with pretrained, start_from or budget_ms: the first weights are the merged"
            )
        if self.prune_share and not self.start_from:
            raise ValueError("prune_share takes channels out of a trained student: give start_from=RUN as well")
        if self.widths and self.pretrained not in (None, "auto"):
            raise ValueError("widths are of a pruned student, and pretrained weights of a whole one: give one of them")
        if self.pretrained not in (None, "auto") and self.start_from:
            raise ValueError("pretrained and start_from are both given: the first weights come from one of them")
        if not isinstance(self.pretrained, Path) and (self.pretrained_mean or self.pretrained_std):
            raise ValueError("pretrained_mean and pretrained_std are of the file in pretrained, and there is none")
        return self

    @model_validator(mode="before")
    @classmethod
    def _as_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("name") not in list(presets.PRESETS):
            return given
        if given.get("start_from") is not None:
            return given  # what is not given here is inherited from that run
        preset = presets.PRESETS[given["name"]]
        return {"size_px": preset.size_px, "head": preset.head} | given


class TeacherSection(Section):
    """How the teacher is run; which one it is comes from the command line.

    ``students``: runs or bundles of students of it whose answers are learned in its place, see
    :mod:`edgevl_train.merge.students`; it still gives the words their vectors. With a ``students_share`` below 1 the
    rest of the target is its own answer to RGB.
    """

    students: tuple[Path, ...] = ()
    students_share: float = Field(1.0, gt=0, le=1)
    batch: int = Field(64, ge=1)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"


class CacheSection(Section):
    """The training cache. ``size_px`` is the side of the images that crops are cut from (>= student.size_px).

    ``rgb``, ``depth``: topics, found by type where they are not named. ``workers``: threads that decode, 0: one a core.
    """

    size_px: int = Field(256, ge=16, le=1024)
    rgb: str | None = None
    depth: str | None = None
    max_skew_s: float = Field(MAX_SKEW_S, gt=0, le=60)
    workers: int = Field(0, ge=0)

    @property
    def pairs(self) -> PairSettings:
        """What is taken from the bags."""
        return PairSettings(self.rgb, self.depth, self.max_skew_s)


class PreprocessSection(Section):
    """What the robot does to an image besides resizing it; see :class:`edgevl_core.camera.preprocess.Preprocess`."""

    depth_encoding: DepthEncoding = "metric"
    rotation_deg: Literal[0, 90, 180, 270] = 0


class SplitSection(Section):
    """Validation data: whole bags ("bag"), whole sequences ("sequence"), or blocks of time with gaps ("time").

    A pause of 30 s, or of ``gap_s`` if that is more, ends a sequence. "auto" decides, see split.py: whole bags of many,
    else whole sequences of a collection of short ones, else blocks of a drive.
    ``blocks``: the most that a bag has; 1: its end.
    """

    by: Literal["auto", "bag", "sequence", "time"] = "auto"
    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    blocks: int = Field(10, ge=1)
    gap_s: float = Field(5.0, ge=0)


class ViewsSection(Section):
    """K views per pair: view 0 is the whole frame, the others random crops and flips shared by RGB and depth."""

    count: int = Field(8, ge=1, le=255)
    min_scale: float = Field(0.3, gt=0, le=1)
    max_scale: float = Field(1.0, gt=0, le=1)
    max_aspect: float = Field(1.333, ge=1)
    flip: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> "ViewsSection":
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale {self.min_scale} is above max_scale {self.max_scale}")
        return self


class DepthAugmentSection(Section):
    """Depth-only augmentation in stage 1 and 2, see :func:`edgevl_train.data.views.augment_depth`.

    Rectangular holes, one shift of the range per image, and noise per pixel whose standard deviation is
    ``noise_m_at_1m`` metres at 1 m and grows with the square of the range.
    """

    hole_probability: float = Field(0.3, ge=0, le=1)
    hole_max_side: float = Field(0.4, gt=0, le=1)
    range_jitter: float = Field(0.03, ge=0, lt=0.5)
    noise_m_at_1m: float = Field(0.0, ge=0, le=0.1)


class MissingDepthSection(Section):
    """Depth that a camera did not measure, see :mod:`edgevl_train.data.missing`; ``probability`` 0: none.

    A share ``probability`` of the images loses up to about ``max_share`` of its depth, in ragged patches, single pixels
    and at the rim. For pairs whose depth has been filled in, or comes from a better camera than the robot's.
    """

    probability: float = Field(0.0, ge=0, le=1)
    max_share: float = Field(0.7, gt=0, lt=1)


class RgbAugmentSection(Section):
    """RGB-only augmentation in stage 1 and 2, see :func:`edgevl_train.data.augment.shift_colour`; all 0: none.

    The target stays the teacher's embedding of the untouched view.
    """

    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.15, ge=0, lt=1)
    saturation: float = Field(0.3, ge=0, le=1)
    hue_rad: float = Field(0.2, ge=0, le=3.15)


class LowLightSection(Section):
    """RGB in bad light, in stage 1 and 2, see :func:`edgevl_train.data.augment.dim`; ``probability`` 0: none.

    A share ``probability`` of the images is darkened by a gain between ``min_gain`` and 1 (log-uniform) and by a gamma
    between 1 / ``max_gamma`` and ``max_gamma`` (log-uniform), and gets sensor noise of up to ``noise`` of 255 levels.
    The target stays the teacher's embedding of the lit view: the student learns to see where the teacher cannot.
    """

    probability: float = Field(0.25, ge=0, le=1)
    min_gain: float = Field(0.04, gt=0, le=1)
    max_gamma: float = Field(1.3, ge=1, le=4)
    noise: float = Field(3.0, ge=0, le=64)


class TemporalSection(Section):
    """The teacher's embeddings averaged over time, see :mod:`edgevl_train.data.temporal`; ``window_s`` 0: as they are.

    Each target is mixed, with ``weight``, with the mean of those less than ``window_s`` before and after it. For drives
    with a frame every second or so; not for collections, whose neighbours in time may be other scenes.
    """

    window_s: float = Field(0.0, ge=0)
    weight: float = Field(0.5, ge=0, le=1)


class ReplaySection(Section):
    """Pairs of the run that ``student.start_from`` names, and of those before it, mixed into every batch.

    ``share`` of a batch's pairs comes from them, so that what the student knew of other homes is kept; 0: none.
    """

    share: float = Field(0.5, ge=0, lt=1)


class CurationSection(Section):
    """Which pairs are kept, by the teacher's confidence on RGB; see curate.py.

    ``superset``: a label file, or the name of a shipped one (indoor_superset); None: the robot's own labels.
    ``merge_above``: labels whose text vectors' cosine is above it count as one, 1 is off. At 0.95 a teacher has no word
    for the difference: rooms it knows lie below 0.3 (the demo's teacher), words it never saw above 0.92.
    """

    method: Literal["per_class_top_q", "ratio", "threshold"] = "per_class_top_q"
    q: float = Field(0.9, gt=0, le=1)
    ratio: float = Field(0.25, gt=0, le=1)
    threshold: float = Field(0.25, ge=0, le=1)
    superset: Path | None = None
    merge_above: float = Field(0.95, gt=0, le=1)


class CalibrationSection(Section):
    """Unknown threshold: the confidence below which this share of correct validation answers would fall."""

    false_unknown: float = Field(0.05, ge=0, lt=1)


class Machine(Section):
    """What every training has: its seed, and the machines it runs on.

    ``devices`` processes on each of ``num_nodes`` machines train together; under torchrun, its own numbers
    count. A stage is saved every ``checkpoint_every_s`` seconds, at each epoch's end, and when it is told to
    stop.
    """

    seed: int = Field(0, ge=0, lt=2**63)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    num_nodes: int = Field(1, ge=1)
    threads: int = Field(0, ge=0, description="0: as torch decides")
    checkpoint_every_s: float = Field(300.0, ge=0)
