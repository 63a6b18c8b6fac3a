"""What can be evaluated: a bundle, a checkpoint or a teacher, behind one small record of functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import DEFAULT_TRUST, Trust, depth_quality, rgb_quality
from edgevl_core.bundle.label_bank import LabelBank, build_label_bank
from edgevl_core.bundle.labels import Label, LabelSet, load_labels
from edgevl_core.bundle.manifest import MANIFEST_FILE, ByModality, Manifest, read_manifest
from edgevl_core.bundle.self_test import open_untrusted
from edgevl_core.bundle.student_bundle import STUDENT_FP32, Bundle, load_words
from edgevl_core.camera.depth import encode_depth
from edgevl_core.camera.preprocess import Preprocess, to_batch, to_input
from edgevl_core.engine import Engine
from edgevl_core.pairlog.pairs import RgbdPair
from edgevl_train.evaluation.predictions import Embedded
from edgevl_train.provenance import bags_of
from edgevl_train.recipe import load_recipe
from edgevl_train.restore import check_bundle_teacher, check_teacher, find_checkpoint, load_student, run_of
from edgevl_train.teacher.loading import Teacher, load_teacher
from edgevl_train.teacher.model import VIEW, own_view

ONES, ZEROS = ByModality(rgb=1.0, depth=1.0, rgbd=1.0), ByModality(rgb=0.0, depth=0.0, rgbd=0.0)


@dataclass(frozen=True)
class Predictor:
    """A model with its label set.

    Attributes:
        bank: the label set in use.
        temperature, unknown_threshold: as in the manifest; a model without calibration has 1 and 0.
        adapted_to: pairs of the last training by the teacher's answer; None where that is not known.
        trained_on: hashes of the bags that it, or a student that it goes back to, was trained on, see
            :func:`edgevl_train.data.cache.hash_bag`.
        max_skew_s: tolerance of the pairs that it was trained on; None where that is not known.
        note: what a reader of the figures must know, one sentence; "" where there is nothing.
        view: how its teacher saw the images that it taught it with; a teacher to compare with sees the same.
    """

    id: str
    embed: Callable[[Sequence[RgbdPair]], Embedded]
    bank: LabelBank
    logit_scale: float
    temperature: ByModality = ONES
    unknown_threshold: ByModality = ZEROS
    view: Preprocess = VIEW
    adapted_to: Mapping[str, int] | None = None
    trained_on: frozenset[str] = frozenset()
    max_skew_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Reference:
    """A teacher to compare with: ``encode`` gives (N, D) float32, L2-normalised, of the RGB images alone."""

    encode: Callable[[Sequence[RgbdPair]], NDArray[np.float32]]
    bank: LabelBank


def load_predictor(model: Path | str, labels: Path | None, teacher: Teacher | None = None) -> Predictor:
    """A teacher's spec, a bundle's directory, or a run directory of ``edgevl adapt`` or a checkpoint in it.

    Args:
        labels: label file; None: the labels the bundle, or the run's bundle, was made for.
        teacher: the model's own, to compare with; it encodes the labels of a checkpoint whose run has no bundle yet.

    Raises:
        UserError: none of these; a teacher without labels; a bundle or run that was made with another teacher; whatever
            loading finds wrong.
    """
    if str(model).startswith("open_clip:"):
        if labels is None:
            raise UserError(
                f"{model}: a teacher has no label set of its own: pass --labels, for example config/labels/home.yaml"
            )
        teacher = load_teacher(str(model))
        return teacher_predictor(teacher, labels, view=own_view(teacher))
    if (Path(model) / MANIFEST_FILE).is_file():
        if teacher is not None:
            check_bundle_teacher(Path(model), read_manifest(model), teacher)
        return bundle_predictor(model, labels=labels)
    return checkpoint_predictor(find_checkpoint(Path(model)), labels=labels, teacher=teacher)


def bundle_predictor(
    bundle: Path | str | Bundle, *, labels: Path | None = None, fp32: bool = False, threads: int = 2
) -> Predictor:
    """The int8 (or the float) student of a bundle, as the robot runs it.

    Args:
        bundle: its directory, where it may come from elsewhere; or as it was loaded.
        labels: label file whose names are used; None: the labels the bundle was made for.

    Raises:
        UserError: the bundle is refused, or has no vector for a label, or one vector for two of them.
    """
    if not isinstance(bundle, Bundle):
        bundle = open_untrusted(bundle, threads=threads)
    manifest = bundle.manifest
    engine = Engine(bundle.path / STUDENT_FP32, threads=threads) if fp32 else bundle.engine
    name = f"bundle {manifest.bundle_id}{' fp32' if fp32 else ''}"
    bank = _labels_in_use(bundle.label_bank, manifest, labels)
    embed = student_embedding(engine, engine, manifest.preprocess, manifest.trust, sees_depth=manifest.sees_depth)
    return Predictor(
        name,
        embed,
        bank,
        manifest.logit_scale,
        temperature=manifest.temperature,
        unknown_threshold=manifest.unknown_threshold,
        view=_view_of(manifest),
        adapted_to=_adapted_to(manifest),
        trained_on=frozenset(bag.sha256 for bag in manifest.provenance.bags),
        max_skew_s=_max_skew_s(manifest),
        note=manifest.rgb_only,
    )


def _labels_in_use(bank: LabelBank, manifest: Manifest, labels: Path | None) -> LabelBank:
    """A bundle's vectors of the labels in a file; None: of those that it was made for.

    Raises:
        UserError: it has no vector for one of them, or two are one label of it, such as a name and its synonym.
    """
    return bank.select_apart(load_labels(labels).names if labels is not None else manifest.labels)


def _adapted_to(manifest: Manifest) -> dict[str, int] | None:
    """Training pairs by the teacher's answer, as ``edgevl adapt`` has written them."""
    training = manifest.metrics.get("training")
    answers = training.get("answers") if isinstance(training, dict) else None
    if not isinstance(answers, dict):
        return None
    return {name: int(pairs["train"]) for name, pairs in answers.items()}  # type: ignore[arg-type,call-overload,index]


def _view_of(manifest: Manifest) -> Preprocess:
    """The squashed frame of the training cache, whose side is in the recipe; the usual one where it does not say."""
    cache = manifest.provenance.recipe.get("cache")
    found = cache.get("size_px") if isinstance(cache, dict) else None
    return manifest.preprocess.model_copy(update={"size_px": found if isinstance(found, int) else VIEW.size_px})


def _max_skew_s(manifest: Manifest) -> float | None:
    """The tolerance in the recipe; anything else there is not believed."""
    cache = manifest.provenance.recipe.get("cache")
    found = cache.get("max_skew_s") if isinstance(cache, dict) else None
    return float(found) if isinstance(found, (int, float)) and 0 < found <= 60 else None


def engine_predictor(
    name: str, engine: Engine, preprocess: Preprocess, bank: LabelBank, logit_scale: float, trust: Trust = DEFAULT_TRUST
) -> Predictor:
    """A student's ONNX file, not calibrated."""
    return Predictor(name, student_embedding(engine, engine, preprocess, trust), bank, logit_scale)


def checkpoint_predictor(checkpoint: Path, *, labels: Path | None = None, teacher: Teacher | None = None) -> Predictor:
    """The best weights of a stage, run by torch: stage 1's float student, or stage 2's fake-quantised one.

    Label vectors, logit scale, temperatures and thresholds are those of the run's bundle (as for its float student);
    before there is one, ``labels`` encoded by the run's ``teacher``, without calibration.

    Raises:
        UserError: no such checkpoint or recipe; no bundle and no labels or teacher; a teacher that is not the run's; a
            bundle whose files are not those of its manifest.
    """
    run = run_of(checkpoint)
    if teacher is not None:
        check_teacher(run, teacher)
    recipe = load_recipe(run / "recipe.yaml")
    name = f"checkpoint {run.name}/{checkpoint.stem}"
    bundle = run / "bundle"
    if bundle.is_dir():
        manifest, bank = load_words(bundle)
        bank = _labels_in_use(bank, manifest, labels)
        rest, trust = (manifest.logit_scale, manifest.temperature, manifest.unknown_threshold), manifest.trust
    elif labels is not None and teacher is not None:
        bank, rest = build_label_bank([load_labels(labels)], teacher.encode_text), (teacher.logit_scale, ONES, ZEROS)
        trust = DEFAULT_TRUST
    else:
        raise UserError(
            f"{checkpoint}: the run has no bundle yet to take the label vectors from: pass --labels and --teacher, "
            "the ones given to `edgevl adapt`"
        )
    student = load_student(checkpoint, recipe.student, bank.vectors.shape[1])
    robot = recipe.robot_preprocess()
    network = student_on_numpy(student)
    embed = student_embedding(network, network, robot, trust)
    view = robot.model_copy(update={"size_px": recipe.cache.size_px})
    trained_on = frozenset(bag.sha256 for bag in bags_of(run))
    return Predictor(name, embed, bank, *rest, view, trained_on=trained_on, max_skew_s=recipe.cache.max_skew_s)


def teacher_predictor(teacher: Teacher, labels: Path | str | LabelSet, *, view: Preprocess = VIEW) -> Predictor:
    """A teacher on RGB, and on depth as ``view`` encodes it, taken for a picture."""
    small = view.model_copy(update={"size_px": 64})

    def embed(pairs: Sequence[RgbdPair]) -> Embedded:
        rgb = teacher.encode_image([pair.rgb for pair in pairs], view)
        depth = teacher.encode_image([encode_depth(pair.depth, view.depth_encoding) for pair in pairs], view)
        return Embedded(rgb, depth, _quality(*_inputs(pairs, small)))

    bank = build_label_bank([_label_set(labels)], teacher.encode_text)
    return Predictor(teacher.id, embed, bank, teacher.logit_scale)


def teacher_reference(teacher: Teacher, labels: Path | str | LabelSet, *, view: Preprocess = VIEW) -> Reference:
    """What a teacher makes of the RGB images, and its vectors of a label set."""
    bank = build_label_bank([_label_set(labels)], teacher.encode_text)
    return Reference(lambda pairs: teacher.encode_image([pair.rgb for pair in pairs], view), bank)


def label_set_of(bank: LabelBank) -> LabelSet:
    """The label set whose sentences a bank was made from, for another text tower to encode."""
    rows = zip(bank.names, bank.prompts, bank.synonyms, strict=True)
    return LabelSet(
        templates=(),
        labels=tuple(Label(name=name, prompts=prompts, synonyms=synonyms) for name, prompts, synonyms in rows),
    )


def _label_set(labels: Path | str | LabelSet) -> LabelSet:
    return labels if isinstance(labels, LabelSet) else load_labels(labels)


def student_embedding(
    of_rgb: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    of_depth: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    preprocess: Preprocess,
    trust: Trust = DEFAULT_TRUST,
    *,
    sees_depth: bool = True,
) -> Callable[[Sequence[RgbdPair]], Embedded]:
    """Pairs through the robot's preprocessing and both cameras' networks, (N, 3, S, S) uint8 -> (N, D) float32.

    ``sees_depth``: as in the manifest, see :class:`edgevl_train.evaluation.predictions.Embedded`.
    """

    def embed(pairs: Sequence[RgbdPair]) -> Embedded:
        rgb, depth = _inputs(pairs, preprocess)
        return Embedded(of_rgb(to_batch(rgb)), of_depth(to_batch(depth)), _quality(rgb, depth, trust), sees_depth)

    return embed


def _inputs(
    pairs: Sequence[RgbdPair], preprocess: Preprocess
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    return [to_input(pair.rgb, preprocess) for pair in pairs], [to_input(pair.depth, preprocess) for pair in pairs]


def _quality(
    rgb: list[NDArray[np.uint8]], depth: list[NDArray[np.uint8]], trust: Trust = DEFAULT_TRUST
) -> NDArray[np.float32]:
    return np.stack([rgb_quality(np.stack(rgb), trust.rgb), depth_quality(np.stack(depth), trust.depth)])


def student_on_numpy(student: nn.Module) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A network run by torch, called as an engine is: (N, 3, S, S) uint8 -> (N, D) float32."""

    @torch.inference_mode()
    def network(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return student(torch.from_numpy(pixels)).float().numpy()

    return network
