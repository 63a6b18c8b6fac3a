"""``edgevl adapt --ablate``: what each step of the method is worth, over several training seeds.

The rows are those of the paper's ablation table (EdgeVL, arXiv 2403.04908) and dynamic int8: the float student of stage
1; its static and its dynamic post-training quantisation; quantisation-aware training with the distillation term alone;
and with the contrastive term. A variant is the recipe with other settings of how is learned; its rows are its float
student and its student of stage 2. Cache, split, views, the teacher's embeddings and curation are the same for all; a
seed decides the student's first weights, the order of the batches and the augmentation.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.engine import Engine
from edgevl_train.ablation_plot import draw_ablation
from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import engine_predictor
from edgevl_train.new_student import new_student
from edgevl_train.prepare import Setup, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.quantise import dynamic_int8, export_fp32, export_int8, ptq_int8
from edgevl_train.recipe import Recipe, dump_recipe, override, parse_recipe
from edgevl_train.run_directory import at_work, check_out, write_json
from edgevl_train.sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.training.batch_norms import restore_for
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.signals import terminable
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy
from edgevl_train.training.validation import validator

ROWS = {
    "stage1_fp32": "stage 1, float",
    "ptq_int8": "+ static PTQ",
    "dynamic_int8": "+ dynamic int8",
    "qat_int8": "+ QAT, distillation only",
    "stage2_int8": "+ QAT, contrast (stage 2)",
}
# What a variant may set: how is learned, not from what.
VARIED = ("stage1", "stage2", "depth_augment", "missing_depth", "rgb_augment", "low_light", "precision")
FIGURES_FILE = "figures.json"
ABLATION_FILE = "ablation.json"
Figures = dict[str, dict[str, float]]


def ablate(  # noqa: PLR0913  (the options of the command line)
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    test: Sequence[Path] = (),
    variants: Sequence[str] = (),
    resume: bool = False,
) -> dict[str, Any]:
    """Train every row for every seed and compare.

    Args:
        out: a new directory, unless ``resume``: cache, teacher's embeddings, ``seed_<s>/`` with checkpoints, metrics,
            ONNX files and figures.json, then ablation.json and ablation.png.
        seeds: training seeds; ``recipe.seed`` stays that of split and views.
        test: bags with truth, of places that are not in ``bags``; they only report, nothing is chosen by them.
        variants: each ``section.key=value`` settings, white space between, of the sections in VARIED.

    Returns:
        What ablation.json holds: ``rows``: row -> figure -> {"mean", "std", "values"}; ``gain``: the paired differences
        stage2_int8 - ptq_int8 and stage2_int8 - qat_int8, and every variant's rows - the recipe's, likewise. A figure
        is validation_agreement_<modality>, validation_cosine_<modality>, and with ``test`` top1_<modality>, modality
        rgb, depth or mean.

    Raises:
        UserError: wrong input, as for :func:`edgevl_train.adapt.adapt`; no seeds, one named twice; stage2.epochs = 0;
            a variant of another section.
    """
    out = Path(out)
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds {list(seeds)}: at least one is needed, each once")
    if not recipe.stage2.epochs:
        raise UserError("stage2.epochs=0: an ablation of stage 2 needs at least one epoch of it")
    varied = {variant: _varied(recipe, variant) for variant in variants}
    check_out(out, resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe, out=out)
    fabric = start_fabric(recipe)
    if fabric.world_size > 1:
        raise UserError(f"--ablate in {fabric.world_size} processes: it runs in one; give seeds to machines instead")
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    out.mkdir(parents=True, exist_ok=True)
    shares = _shares(recipe, seeds, varied)
    with at_work(out), terminable(), RunProgress(out / "status.json", shares) as progress:
        inputs = open_inputs(setup, out, fabric)
        for warning in setup.warnings:
            progress.say(f"warning: {warning}")
        gathered = gather(setup, inputs, out, progress, fabric)
        bank = gathered.bank.select(setup.labels.names)
        judge = partial(_figures, data=gathered.data, bank=bank, test=test)
        figures = [
            _Trial(setup, gathered.data, inputs.fingerprint, seed, out / f"seed_{seed}", progress, judge).all_rows(
                recipe, varied
            )
            for seed in seeds
        ]
    names = {row: ROWS.get(row) or _name_of(row) for row in figures[0]}
    result = {"seeds": list(seeds), "test": [bag.name for bag in test], "names": names} | _compare(figures)
    write_json(out / ABLATION_FILE, result)
    draw_ablation(result, out / "ablation.png")
    return result


@dataclass(frozen=True)
class _Trial:
    """One training seed: where its files lie, and how they are judged."""

    setup: Setup
    data: RunData
    fingerprint: str
    seed: int
    directory: Path
    progress: RunProgress
    judge: Callable[[dict[str, Path], Recipe], Figures]

    def all_rows(self, recipe: Recipe, varied: Mapping[str, Recipe]) -> Figures:
        """Row -> figures of the recipe, and of its variants under their names."""
        found = self.kept("figures", recipe, _of_recipe)
        for variant, other in varied.items():
            found |= {f"{variant}, {row}": values for row, values in self.kept(variant, other, _of_variant).items()}
        return found

    def kept(self, name: str, recipe: Recipe, train: "Callable[[_Trial, Recipe, Path], dict[str, Path]]") -> Figures:
        """Row -> figures of the files that ``train`` makes; read back where an earlier run has finished them."""
        directory = self.directory if name == "figures" else self.directory / _folder_of(name)
        if (directory / FIGURES_FILE).is_file():
            return dict(json.loads((directory / FIGURES_FILE).read_text(encoding="utf-8")))
        recipe = recipe.model_copy(update={"seed": self.seed})
        files = train(self, recipe, directory)
        self.progress.stage(f"seed {self.seed}, figures")
        figures = self.judge(files, recipe)
        write_json(directory / FIGURES_FILE, figures)
        return figures

    def stage1(self, recipe: Recipe, directory: Path) -> Student:
        """The float student."""
        student = new_student(recipe.student, self.setup.teacher, self.seed)
        restore_for(student, self.data, recipe.student, self.progress.say)
        self.progress.stage(f"seed {self.seed}, stage 1")
        distil(student, self.data, recipe, self._context(recipe, directory, start_fabric(recipe, network=student)))
        return student

    def stage2(self, student: Student, recipe: Recipe, directory: Path, row: str) -> Path:
        """The int8 file of a training with the quantisation."""
        self.progress.stage(f"seed {self.seed}, {row}")
        quantised = quantised_copy(student, self.data, recipe.stage2)
        context = self._context(recipe, directory / row, start_fabric(recipe, "32-true"))
        contrast(quantised, self.data, recipe, context)
        export_int8(quantised.cpu(), directory / f"{row}.onnx", recipe.student.size_px)
        return directory / f"{row}.onnx"

    def _context(self, recipe: Recipe, directory: Path, fabric: Fabric) -> RunContext:
        digest = hashlib.sha256(dump_recipe(recipe)).hexdigest()
        key = f"{self.fingerprint} training seed {self.seed} {digest}"
        return RunContext(fabric, directory, key, self.progress.update)


def _of_recipe(trial: _Trial, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """A file for each of ROWS."""
    student = trial.stage1(recipe, directory)
    alone = recipe.model_copy(update={"stage2": without_contrast(recipe.stage2)})
    files = {row: directory / f"{row}.onnx" for row in ROWS}
    for row, variant in (("qat_int8", alone), ("stage2_int8", recipe)):
        trial.stage2(student, variant, directory, row)
    export_fp32(student.cpu(), files["stage1_fp32"], recipe.student.size_px)
    pixels = calibration_pixels(trial.data, recipe.stage2.calibration_pairs).numpy()
    batches, bits = [pixels[i : i + 64] for i in range(0, len(pixels), 64)], recipe.stage2.weight_bits
    ptq_int8(files["stage1_fp32"], batches, files["ptq_int8"], bits)
    dynamic_int8(files["stage1_fp32"], files["dynamic_int8"], bits)
    return files


def _of_variant(trial: _Trial, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Its float student and its student of stage 2."""
    student = trial.stage1(recipe, directory)
    stage2 = trial.stage2(student, recipe, directory, "stage2_int8")
    export_fp32(student.cpu(), directory / "stage1_fp32.onnx", recipe.student.size_px)
    return {"stage1_fp32": directory / "stage1_fp32.onnx", "stage2_int8": stage2}


def _varied(recipe: Recipe, variant: str) -> Recipe:
    data = recipe.model_dump()
    for setting in variant.split():
        if setting.split(".")[0] not in VARIED:
            raise UserError(f"variant {setting!r}: settings of {', '.join(VARIED)} may vary; the rest is common to all")
        override(data, setting)
    return parse_recipe(data, origin=f"of the variant {variant!r}")


def _folder_of(variant: str) -> str:
    return f"variant_{hashlib.sha256(variant.encode()).hexdigest()[:12]}"


def _name_of(row: str) -> str:
    variant, _, of = row.rpartition(", ")
    return f"{variant}: {ROWS[of].removeprefix('+ ')}"


def without_contrast(section: Stage2Section) -> Stage2Section:
    """The same training with the distillation term alone (on, should the recipe have it off)."""
    return section.model_copy(update={"triplet_weight": 0.0, "distil_weight": section.distil_weight or 1.0})


def _figures(files: dict[str, Path], recipe: Recipe, data: RunData, bank: LabelBank, test: Sequence[Path]) -> Figures:
    engines = {row: Engine(file, threads=2) for row, file in files.items()}
    validate = validator(data, torch.device("cpu"))
    figures: Figures = {}
    for row, engine in engines.items():
        found = validate(partial(_embedded, engine))
        figures[row] = {
            f"validation_{long}_{modality}": found[f"{short}_{modality}"]
            for short, long in (("agree", "agreement"), ("cos", "cosine"))
            for modality in ("rgb", "depth")
        }
    if test:
        predictors = {
            row: engine_predictor(ROWS[row], engine, recipe.robot_preprocess(), bank, data.logit_scale)
            for row, engine in engines.items()
        }
        for row, result in evaluate_all(predictors, test, settings=recipe.cache.pairs).items():
            if not result["top1"]:
                raise UserError(f"{', '.join(map(str, test))}: no frame's true room is a label: pass bags with truth")
            figures[row] |= {f"top1_{modality}": result["top1"][modality] for modality in ("rgb", "depth")}
    for values in figures.values():
        for name in [name for name in values if name.endswith("_rgb")]:
            stem = name.removesuffix("_rgb")
            values[f"{stem}_mean"] = (values[f"{stem}_rgb"] + values[f"{stem}_depth"]) / 2
    return figures


def _embedded(engine: Engine, pixels: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(engine(pixels.contiguous().numpy()))


def _compare(figures: Sequence[Figures]) -> dict[str, Any]:
    """Mean, sample standard deviation and values over the seeds, per row and of the paired differences."""
    names = list(figures[0]["stage1_fp32"])
    rows = {row: {name: _spread([of[row][name] for of in figures]) for name in names} for row in figures[0]}
    pairs = [("stage2_int8", "ptq_int8"), ("stage2_int8", "qat_int8")]
    pairs += [(row, row.rpartition(", ")[2]) for row in rows if row not in ROWS]
    gain = {
        f"{one} - {other}": {name: _spread([of[one][name] - of[other][name] for of in figures]) for name in names}
        for one, other in pairs
    }
    return {"rows": rows, "gain": gain}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "std": std, "values": list(values)}


def _shares(recipe: Recipe, seeds: Sequence[int], varied: Mapping[str, Recipe]) -> dict[str, float]:
    """Expected time per stage; only ratios matter."""
    shares = {"cache": 1.5, "teacher": 0.3 * recipe.views.count}
    for seed in seeds:
        trained = [recipe, *varied.values()]
        shares[f"seed {seed}, stage 1"] = sum(2.0 * each.stage1.epochs for each in trained)
        shares[f"seed {seed}, qat_int8"] = 4.0 * recipe.stage2.epochs + 0.5
        shares[f"seed {seed}, stage2_int8"] = sum(4.0 * each.stage2.epochs + 0.5 for each in trained)
        shares[f"seed {seed}, figures"] = 2.0
    return shares
