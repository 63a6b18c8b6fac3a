"""The rows of an ablation: their names, their figures, and how they compare over the seeds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.engine import Engine
from edgevl_train.data.run_data import RunData
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import engine_predictor
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.training.validation import validator

Figures = dict[str, dict[str, float]]  # row -> figure -> value
ROWS = {
    "stage1_fp32": "stage 1, float",
    "ptq_int8": "+ static PTQ",
    "dynamic_int8": "+ dynamic int8",
    "best_ptq_int8": "+ best PTQ",
    "qat_int8": "+ QAT, distillation only",
    "stage2_int8": "+ QAT, contrast (stage 2)",
}
QUANTISED = ("best_ptq_int8", "qat_int8", "stage2_int8")


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse what is no list of training seeds.

    Raises:
        UserError: there are none, one is named twice, or one is no seed of a recipe.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds {list(seeds)}: at least one is needed, each once")
    for seed in seeds:
        parse_recipe({"seed": seed}, origin=f"with seeds {list(seeds)}")


def judged(
    files: dict[str, Path],
    recipe: Recipe,
    data: RunData,
    bank: LabelBank,
    test: Sequence[Path],
    held_out: NDArray[np.float32] | None = None,
) -> Figures:
    """Row -> figures of its ONNX file, as :func:`edgevl_train.ablation.ablate.ablate` names them.

    With ``held_out``, (C, D) vectors of words that nothing was learned by, ``held_out_agreement_<modality>`` as well:
    how often the answer among these is the teacher's, on validation pairs.

    Raises:
        UserError: ``test`` bags without a known room among the labels.
    """
    engines = {row: Engine(file, threads=2) for row, file in files.items()}
    cpu = torch.device("cpu")
    validate = validator(data, cpu)
    among_others = None if held_out is None else validator(replace(data, bank=held_out), cpu)
    figures: Figures = {}
    for row, engine in engines.items():
        found = validate(partial(_embedded, engine))
        figures[row] = {
            f"validation_{long}_{modality}": found[f"{short}_{modality}"]
            for short, long in (("agree", "agreement"), ("cos", "cosine"))
            for modality in ("rgb", "depth")
        }
        if among_others is not None:
            asked = among_others(partial(_embedded, engine))
            figures[row] |= {f"held_out_agreement_{each}": asked[f"agree_{each}"] for each in ("rgb", "depth")}
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


def compare(figures: Sequence[Figures]) -> dict[str, Any]:
    """Mean, sample standard deviation and values over the seeds, per row and of the paired differences."""
    names = list(figures[0]["stage1_fp32"])
    compared = [("stage2_int8", "ptq_int8"), ("stage2_int8", "best_ptq_int8"), ("stage2_int8", "qat_int8")]
    compared += [("qat_int8", "best_ptq_int8")]
    rows = {row: {name: spread_of([of[row][name] for of in figures]) for name in names} for row in figures[0]}
    of = {row.removesuffix(row.rpartition(", ")[2]): None for row in rows}  # "", "weights of 4 bits, ", variants
    pairs = [(start + one, start + other) for start in of for one, other in compared if start + other in rows]
    pairs += [(row, row.rpartition(", ")[2]) for row in rows if row not in ROWS]
    gain = {
        f"{one} - {other}": {name: spread_of([of[one][name] - of[other][name] for of in figures]) for name in names}
        for one, other in pairs
    }
    return {"rows": rows, "gain": gain}


def spread_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (NaN of one value) and the values."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "std": std, "values": list(values)}


def name_of(row: str) -> str:
    """What people read for a row; a row of a variant begins with the variant."""
    if row in ROWS:
        return ROWS[row]
    variant, _, of = row.rpartition(", ")
    return f"{variant}: {ROWS[of].removeprefix('+ ')}"
