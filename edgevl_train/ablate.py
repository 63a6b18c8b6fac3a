"""``edgevl adapt --ablate``: what each step of the method is worth, over several training seeds.

The rows are those of the paper's ablation table (EdgeVL, arXiv 2403.04908) and dynamic int8: the float student of stage
1; its static and its dynamic post-training quantisation; quantisation-aware training with the distillation term alone;
and with the contrastive term. Cache, split, views, the teacher's embeddings and curation are the same for all; a seed
decides the student's first weights, the order of the batches and the augmentation.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgevl_core.engine import Engine
from edgevl_core.errors import UserError
from edgevl_core.label_bank import LabelBank
from edgevl_train.ablation_plot import draw_ablation
from edgevl_train.contrast import contrast, quantised_copy
from edgevl_train.data import RunData, calibration_pixels
from edgevl_train.distil import distil
from edgevl_train.evaluate import evaluate_all
from edgevl_train.interrupt import terminable
from edgevl_train.material import Setup, gather, new_student, open_inputs, prepare
from edgevl_train.predictors import engine_predictor
from edgevl_train.processes import start_fabric
from edgevl_train.progress import RunProgress
from edgevl_train.quantise import dynamic_int8, export_fp32, export_int8, ptq_int8
from edgevl_train.recipe import Recipe, Stage2Section
from edgevl_train.rundir import check_out, write_json
from edgevl_train.validation import validator

ROWS = {
    "stage1_fp32": "stage 1, float",
    "ptq_int8": "+ static PTQ",
    "dynamic_int8": "+ dynamic int8",
    "qat_int8": "+ QAT, distillation only",
    "stage2_int8": "+ QAT, contrast (stage 2)",
}
FIGURES_FILE = "figures.json"
ABLATION_FILE = "ablation.json"


def ablate(
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    test: Sequence[Path] = (),
    resume: bool = False,
) -> dict[str, Any]:
    """Train every row for every seed and compare.

    Args:
        out: a new directory, unless ``resume``: cache, teacher's embeddings, ``seed_<s>/`` with checkpoints, metrics,
            ONNX files and figures.json, then ablation.json and ablation.png.
        seeds: training seeds; ``recipe.seed`` stays that of split and views.
        test: bags with truth, of places that are not in ``bags``; they only report, nothing is chosen by them.

    Returns:
        What ablation.json holds: ``rows``: row -> figure -> {"mean", "std", "values"}; ``gain``: the paired differences
        stage2_int8 - ptq_int8 and stage2_int8 - qat_int8, likewise. A figure is validation_agreement_<modality>,
        validation_cosine_<modality>, and with ``test`` top1_<modality>, modality rgb, depth or mean.

    Raises:
        UserError: wrong input, as for :func:`edgevl_train.adapt.adapt`; no seeds, one named twice; stage2.epochs = 0.
    """
    out = Path(out)
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds {list(seeds)}: at least one is needed, each once")
    if not recipe.stage2.epochs:
        raise UserError("stage2.epochs=0: an ablation of stage 2 needs at least one epoch of it")
    check_out(out, resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe)
    fabric = start_fabric(recipe)
    if fabric.world_size > 1:
        raise UserError(f"--ablate in {fabric.world_size} processes: it runs in one; give seeds to machines instead")
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    out.mkdir(parents=True, exist_ok=True)
    with terminable(), RunProgress(out / "status.json", _shares(recipe, seeds)) as progress:
        inputs = open_inputs(setup, out, fabric)
        for warning in setup.warnings:
            progress.say(f"warning: {warning}")
        material = gather(setup, inputs, out, progress, fabric)
        bank = material.bank.select(setup.labels.names)
        figures = [
            _one_seed(material.data, bank, setup, inputs.fingerprint, out, seed, test, progress) for seed in seeds
        ]
    result = {"seeds": list(seeds), "test": [bag.name for bag in test], "names": ROWS} | _compare(figures)
    write_json(out / ABLATION_FILE, result)
    draw_ablation(result, out / "ablation.png")
    return result


def _one_seed(
    data: RunData,
    bank: LabelBank,
    setup: Setup,
    fingerprint: str,
    out: Path,
    seed: int,
    test: Sequence[Path],
    progress: RunProgress,
) -> dict[str, dict[str, float]]:
    """Row -> figures of one training seed; read back where an earlier run has finished it."""
    directory, fingerprint = out / f"seed_{seed}", f"{fingerprint} training seed {seed}"
    if (directory / FIGURES_FILE).is_file():
        return dict(json.loads((directory / FIGURES_FILE).read_text(encoding="utf-8")))
    recipe = setup.recipe.model_copy(update={"seed": seed})
    student = new_student(recipe, setup.teacher, seed)
    progress.stage(f"seed {seed}, stage 1")
    distil(student, data, recipe, start_fabric(recipe, network=student), directory, fingerprint, progress.update)
    files = {row: directory / f"{row}.onnx" for row in ROWS}
    for row, section in (("qat_int8", without_contrast(recipe.stage2)), ("stage2_int8", recipe.stage2)):
        progress.stage(f"seed {seed}, {row}")
        variant = recipe.model_copy(update={"stage2": section})
        quantised = quantised_copy(student, data, variant)
        fabric = start_fabric(recipe, "32-true")
        contrast(quantised, data, variant, fabric, directory / row, fingerprint, progress.update)
        export_int8(quantised.cpu(), files[row], recipe.student.size_px)
    progress.stage(f"seed {seed}, figures")
    export_fp32(student.cpu(), files["stage1_fp32"], recipe.student.size_px)
    pixels = calibration_pixels(data, recipe, recipe.stage2.calibration_pairs).numpy()
    ptq_int8(files["stage1_fp32"], [pixels[i : i + 64] for i in range(0, len(pixels), 64)], files["ptq_int8"])
    dynamic_int8(files["stage1_fp32"], files["dynamic_int8"])
    engines = {row: Engine(file, threads=2) for row, file in files.items()}
    figures = _figures(engines, data, bank, recipe, test)
    write_json(directory / FIGURES_FILE, figures)
    return figures


def without_contrast(section: Stage2Section) -> Stage2Section:
    """The same training with the distillation term alone (on, should the recipe have it off)."""
    return section.model_copy(update={"triplet_weight": 0.0, "distil_weight": section.distil_weight or 1.0})


def _figures(
    engines: dict[str, Engine], data: RunData, bank: LabelBank, recipe: Recipe, test: Sequence[Path]
) -> dict[str, dict[str, float]]:
    validate = validator(data, torch.device("cpu"))
    figures: dict[str, dict[str, float]] = {}
    for row, engine in engines.items():
        found = validate(lambda pixels, engine=engine: torch.from_numpy(engine(pixels.contiguous().numpy())))
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
        for row, result in evaluate_all(predictors, test).items():
            if not result["top1"]:
                raise UserError(f"{', '.join(map(str, test))}: no frame's true room is a label: pass bags with truth")
            figures[row] |= {f"top1_{modality}": result["top1"][modality] for modality in ("rgb", "depth")}
    for values in figures.values():
        for name in [name for name in values if name.endswith("_rgb")]:
            stem = name.removesuffix("_rgb")
            values[f"{stem}_mean"] = (values[f"{stem}_rgb"] + values[f"{stem}_depth"]) / 2
    return figures


def _compare(figures: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Mean, sample standard deviation and values over the seeds, per row and of the paired differences."""
    names = list(figures[0]["stage1_fp32"])
    rows = {row: {name: _spread([of[row][name] for of in figures]) for name in names} for row in ROWS}
    gain = {
        f"stage2_int8 - {other}": {
            name: _spread([of["stage2_int8"][name] - of[other][name] for of in figures]) for name in names
        }
        for other in ("ptq_int8", "qat_int8")
    }
    return {"rows": rows, "gain": gain}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "std": std, "values": list(values)}


def _shares(recipe: Recipe, seeds: Sequence[int]) -> dict[str, float]:
    """Expected time per stage; only ratios matter."""
    shares = {"cache": 1.5, "teacher": 0.3 * recipe.views.count}
    for seed in seeds:
        shares[f"seed {seed}, stage 1"] = 2.0 * recipe.stage1.epochs
        for row in ("qat_int8", "stage2_int8"):
            shares[f"seed {seed}, {row}"] = 4.0 * recipe.stage2.epochs + 0.5
        shares[f"seed {seed}, figures"] = 2.0
    return shares
