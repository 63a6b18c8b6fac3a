"""What can be evaluated: a student bundle or a teacher, behind one small record of functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle import STUDENT_FP32, load_bundle
from edgevl_core.depth import encode_depth
from edgevl_core.engine import Engine
from edgevl_core.errors import UserError
from edgevl_core.fusion import depth_quality, mix, rgb_quality
from edgevl_core.label_bank import LabelBank, build_label_bank
from edgevl_core.labels import Label, LabelSet, load_labels
from edgevl_core.manifest import ByModality
from edgevl_core.pairlog.pairs import RgbdPair
from edgevl_core.preprocess import Preprocess, to_batch, to_input
from edgevl_train.teacher import Teacher, load_teacher

ONES, ZEROS = ByModality(rgb=1.0, depth=1.0, rgbd=1.0), ByModality(rgb=0.0, depth=0.0, rgbd=0.0)
Embeddings = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Predictor:
    """A model with its label set.

    Attributes:
        embed: pairs -> {"rgb", "depth", "rgbd"}: (N, D) float32; rgb and depth are L2-normalised.
        bank: the label set in use.
        temperature, unknown_threshold: as in the manifest; a teacher has 1 and 0.
    """

    id: str
    embed: Callable[[Sequence[RgbdPair]], Embeddings]
    bank: LabelBank
    logit_scale: float
    temperature: ByModality = ONES
    unknown_threshold: ByModality = ZEROS


def bundle_predictor(
    path: Path | str, *, labels: Path | None = None, fp32: bool = False, threads: int = 2
) -> Predictor:
    """The int8 (or the float) student of a bundle, as the robot runs it.

    Args:
        labels: label file whose names are used; None: the labels the bundle was made for.

    Raises:
        UserError: the bundle is refused, or has no vector for a label.
    """
    bundle = load_bundle(path, threads=threads)
    manifest = bundle.manifest
    engine = Engine(bundle.path / STUDENT_FP32, threads=threads) if fp32 else bundle.engine
    names = load_labels(labels).names if labels is not None else manifest.labels
    predictor = engine_predictor(
        f"bundle {manifest.bundle_id}{' fp32' if fp32 else ''}",
        engine,
        manifest.preprocess,
        bundle.label_bank.select(names),
        manifest.logit_scale,
    )
    return replace(predictor, temperature=manifest.temperature, unknown_threshold=manifest.unknown_threshold)


def engine_predictor(
    name: str, engine: Engine, preprocess: Preprocess, bank: LabelBank, logit_scale: float
) -> Predictor:
    """A student's ONNX file, not calibrated."""

    def embed(pairs: Sequence[RgbdPair]) -> Embeddings:
        rgb = [to_input(pair.rgb, preprocess) for pair in pairs]
        depth = [to_input(pair.depth_m, preprocess) for pair in pairs]
        return _with_fusion(engine(to_batch(rgb)), engine(to_batch(depth)), np.stack(rgb), np.stack(depth))

    return Predictor(name, embed, bank, logit_scale)


def teacher_predictor(teacher: Teacher, labels: Path | str | LabelSet, *, depth_encoding: str = "metric") -> Predictor:
    """A teacher on RGB with its own preprocessing, and on encoded depth taken for a picture."""
    label_set = labels if isinstance(labels, LabelSet) else load_labels(labels)
    small = Preprocess(size_px=64, depth_encoding=depth_encoding)  # type: ignore[arg-type]

    def embed(pairs: Sequence[RgbdPair]) -> Embeddings:
        rgb = teacher.encode_image([pair.rgb for pair in pairs])
        depth = teacher.encode_image([encode_depth(pair.depth_m, depth_encoding) for pair in pairs])
        rgb_small = np.stack([to_input(pair.rgb, small) for pair in pairs])
        depth_small = np.stack([to_input(pair.depth_m, small) for pair in pairs])
        return _with_fusion(rgb, depth, rgb_small, depth_small)

    return Predictor(teacher.id, embed, build_label_bank([label_set], teacher.encode_text), teacher.logit_scale)


def load_predictor(model: Path | str, labels: Path | None, threads: int = 2) -> Predictor:
    """A bundle's directory or a teacher's spec.

    Raises:
        UserError: a teacher without labels; whatever loading finds wrong.
    """
    if not str(model).startswith("open_clip:"):
        return bundle_predictor(model, labels=labels, threads=threads)
    if labels is None:
        raise UserError(
            f"{model}: a teacher has no label set of its own: pass --labels, for example config/labels/home.yaml"
        )
    return teacher_predictor(load_teacher(str(model)), labels)


def label_set_of(bank: LabelBank) -> LabelSet:
    """The label set whose sentences a bank was made from, for another text tower to encode."""
    rows = zip(bank.names, bank.prompts, bank.synonyms, strict=True)
    return LabelSet(
        templates=(),
        labels=tuple(Label(name=name, prompts=prompts, synonyms=synonyms) for name, prompts, synonyms in rows),
    )


def _with_fusion(
    rgb: NDArray[np.float32],
    depth: NDArray[np.float32],
    rgb_pixels: NDArray[np.uint8],
    depth_pixels: NDArray[np.uint8],
) -> Embeddings:
    weights = np.stack([rgb_quality(rgb_pixels), depth_quality(depth_pixels)])
    return {"rgb": rgb, "depth": depth, "rgbd": mix(np.stack([rgb, depth]), weights)}
