"""One training seed of an ablation or comparison: the float student, and every int8 student that is made of it."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_train.ablation.figures import QUANTISED, ROWS, Figures
from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.merge.soup import merge_for
from edgevl_train.new_student import new_student
from edgevl_train.prepare import Setup
from edgevl_train.progress import RunProgress
from edgevl_train.quantise import dynamic_int8, export_fp32, export_int8, plain_int8, scheme_of
from edgevl_train.recipe import Recipe, dump_recipe
from edgevl_train.run_directory import write_json
from edgevl_train.stage_sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.training.batch_norms import restore_for
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy
from edgevl_train.training.untrained import best_untrained

FIGURES_FILE = "figures.json"


@dataclass(frozen=True)
class Trial:
    """One training seed: where its files lie, how they are judged, and the hashes of the bags that do so.

    ``title`` stands before the seed in the names of its stages, as ``progress`` knows them.
    """

    setup: Setup
    data: RunData
    fingerprint: str
    seed: int
    directory: Path
    progress: RunProgress
    judge: Callable[[dict[str, Path], Recipe], Figures]
    test: Sequence[str]
    title: str = ""

    def all_rows(self, recipe: Recipe, varied: Mapping[str, Recipe], fewer: Mapping[str, Recipe]) -> Figures:
        """Row -> figures of the recipe, of its weights with fewer bits, and of its variants, under their names."""
        found = self.kept("figures", recipe, _of_recipe)
        for name, other in fewer.items():
            train = partial(_with_fewer_bits, recipe=recipe.model_copy(update={"seed": self.seed}))
            found |= {f"{name}, {row}": values for row, values in self.kept(name, other, train).items()}
        for variant, other in varied.items():
            found |= {f"{variant}, {row}": values for row, values in self.kept(variant, other, of_variant).items()}
        return found

    def kept(self, name: str, recipe: Recipe, train: "Callable[[Trial, Recipe, Path], dict[str, Path]]") -> Figures:
        """Row -> figures of the files that ``train`` makes; read back where an earlier run has finished them."""
        directory = self.directory if name == "figures" else self.directory / self._folder_of(name, recipe)
        recipe, files = recipe.model_copy(update={"seed": self.seed}), {}
        if (directory / FIGURES_FILE).is_file():
            known = json.loads((directory / FIGURES_FILE).read_text(encoding="utf-8"))
            if known.get("test") == list(self.test):
                return {row: _numbers(values) for row, values in known["rows"].items()}
            files = {row: directory / f"{row}.onnx" for row in known["rows"]}  # other bags judge anew what is trained
        if not files or not all(file.is_file() for file in files.values()):
            files = train(self, recipe, directory)
        self.progress.stage(f"{self.title}seed {self.seed}, figures")
        figures = self.judge(files, recipe)
        write_json(directory / FIGURES_FILE, {"test": list(self.test), "rows": figures})
        return figures

    def _folder_of(self, variant: str, recipe: Recipe) -> str:
        """Another one where a file of words that it learns by has other words than before."""
        made_of = variant.encode() + self.setup.words_of(recipe)
        return f"variant_{hashlib.sha256(made_of).hexdigest()[:12]}"

    def stage1(self, recipe: Recipe, directory: Path) -> Student:
        """The float student."""
        student = new_student(recipe.student, self.setup.teacher, self.seed)
        restore_for(student, self.data, recipe.student, self.progress.say)
        merge_for(student, self.data, recipe.student, self.progress.say)
        self.progress.stage(f"{self.title}seed {self.seed}, stage 1")
        distil(student, self.data, recipe, self._context(recipe, directory, start_fabric(recipe, network=student)))
        return student

    def stage2(self, student: Student, recipe: Recipe, directory: Path, row: str) -> Path:
        """The int8 file of a training with the quantisation."""
        self.progress.stage(f"{self.title}seed {self.seed}, {row}")
        quantised = quantised_copy(student, self.data, recipe.stage2)
        context = self._context(recipe, directory / row, start_fabric(recipe, "32-true"))
        contrast(quantised, self.data, recipe, context)
        export_int8(quantised.cpu(), directory / f"{row}.onnx", recipe.student.size_px)
        return directory / f"{row}.onnx"

    def _context(self, recipe: Recipe, directory: Path, fabric: Fabric) -> RunContext:
        digest = hashlib.sha256(dump_recipe(recipe)).hexdigest()
        key = f"{self.fingerprint} training seed {self.seed} {digest}"
        return RunContext(fabric, directory, key, self.progress.update)

    def quantised(self, student: Student, recipe: Recipe, directory: Path) -> dict[str, Path]:
        """A file for each of QUANTISED."""
        best, made_with = best_untrained(student.cpu(), self.data, recipe.stage2)
        self.progress.say(f"seed {self.seed}, best PTQ of {recipe.stage2.weight_bits} bits: {made_with}")
        files = {row: directory / f"{row}.onnx" for row in QUANTISED}
        directory.mkdir(parents=True, exist_ok=True)
        export_int8(best, files["best_ptq_int8"], recipe.student.size_px)
        alone = recipe.model_copy(update={"stage2": without_contrast(recipe.stage2)})
        for row, variant in (("qat_int8", alone), ("stage2_int8", recipe)):
            self.stage2(student, variant, directory, row)
        return files


def _of_recipe(trial: Trial, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """A file for each of ROWS; none of dynamic quantisation where ONNX Runtime makes no such weights."""
    student = trial.stage1(recipe, directory)
    files = {row: directory / f"{row}.onnx" for row in ROWS} | trial.quantised(student, recipe, directory)
    export_fp32(student.cpu(), files["stage1_fp32"], recipe.student.size_px)
    pixels, scheme = calibration_pixels(trial.data, recipe.stage2.calibration_pairs), scheme_of(recipe.stage2)
    plain_int8(student, files["stage1_fp32"], pixels, files["ptq_int8"], recipe.student.size_px, scheme)
    if scheme.known_to_onnxruntime:
        dynamic_int8(files["stage1_fp32"], files["dynamic_int8"], scheme)
    else:
        del files["dynamic_int8"]
    return files


def start_alone(recipe: Recipe, what: str) -> Fabric:
    """The one process and the threads of many trainings.

    Raises:
        UserError: there are several.
    """
    fabric = start_fabric(recipe)
    if fabric.world_size > 1:
        raise UserError(f"{what} in {fabric.world_size} processes: it runs in one; give seeds to machines instead")
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    return fabric


def _with_fewer_bits(trial: Trial, fewer: Recipe, directory: Path, *, recipe: Recipe) -> dict[str, Path]:
    """A file for each of QUANTISED, from the float student of ``recipe``, which is trained by then."""
    return trial.quantised(trial.stage1(recipe, trial.directory), fewer, directory)


def of_variant(trial: Trial, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Its float student and its student of stage 2."""
    student = trial.stage1(recipe, directory)
    stage2 = trial.stage2(student, recipe, directory, "stage2_int8")
    export_fp32(student.cpu(), directory / "stage1_fp32.onnx", recipe.student.size_px)
    return {"stage1_fp32": directory / "stage1_fp32.onnx", "stage2_int8": stage2}


def without_contrast(section: Stage2Section) -> Stage2Section:
    """The same training with the distillation term alone (on, should the recipe have it off)."""
    return section.model_copy(update={"triplet_weight": 0.0, "distil_weight": section.distil_weight or 1.0})


def _numbers(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Figures from JSON, where null stands for what is no number."""
    return {name: math.nan if value is None else value for name, value in figures.items()}
