"""The training recipe: one frozen, validated model, read from YAML, overridden by ``key.path=value``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.base.yaml_text import load_yaml
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.sections import (
    AnySection,
    CacheSection,
    CalibrationSection,
    CurationSection,
    DepthAugmentSection,
    LowLightSection,
    Machine,
    MissingDepthSection,
    PreprocessSection,
    ReplaySection,
    RgbAugmentSection,
    SplitSection,
    StudentSection,
    TeacherSection,
    TemporalSection,
    ViewsSection,
)
from edgevl_train.stage_sections import Stage1Section, Stage2Section


class Recipe(Machine):
    """Everything that decides a run, besides bags, teacher and labels."""

    one_home: bool = Field(False, description="warn of bags that look like different homes")
    vocabulary: Path = Field(
        Path("indoor_superset"), description="label file of vocabulary_weight and stage1.exit_weight"
    )
    text_encoder: bool = Field(False, description="put the teacher's text tower into the bundle, for any new word")
    student: StudentSection = StudentSection()
    teacher: TeacherSection = TeacherSection()
    cache: CacheSection = CacheSection()
    preprocess: PreprocessSection = PreprocessSection()
    split: SplitSection = SplitSection()
    views: ViewsSection = ViewsSection()
    depth_augment: DepthAugmentSection = DepthAugmentSection()
    missing_depth: MissingDepthSection = MissingDepthSection()
    rgb_augment: RgbAugmentSection = RgbAugmentSection()
    low_light: LowLightSection = LowLightSection()
    temporal: TemporalSection = TemporalSection()
    replay: ReplaySection = ReplaySection()
    curation: CurationSection = CurationSection()
    stage1: Stage1Section = Stage1Section()
    stage2: Stage2Section = Stage2Section()
    calibration: CalibrationSection = CalibrationSection()

    @field_validator("stage1")
    @classmethod
    def _trains_a_new_student(cls, stage1: Stage1Section, info: ValidationInfo) -> Stage1Section:
        """Of the field, not of the whole, so that it is told together with every other fault."""
        student = info.data.get("student")
        if not stage1.epochs and student is not None and not (student.merge or student.start_from):
            raise ValueError("a new student needs training: stage1.epochs 0 is for student.start_from and merged ones")
        return stage1

    @model_validator(mode="after")
    def _sections_agree(self) -> "Recipe":
        faults = []
        # With start_from, a size that is left out is inherited, and both are looked at then.
        given = all("size_px" in section.model_fields_set for section in (self.cache, self.student))
        if self.cache.size_px < self.student.size_px and (given or self.student.start_from is None):
            faults.append(
                f"cache.size_px {self.cache.size_px} is below student.size_px {self.student.size_px}: "
                "crops would be enlarged; use at least the student's"
            )
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            faults.append("precision 16-mixed needs a GPU, accelerator is cpu: use precision auto")
        if self.depth_augment.noise_m_at_1m and self.preprocess.depth_encoding == "minmax":
            faults.append(
                f"depth_augment.noise_m_at_1m {self.depth_augment.noise_m_at_1m:g} is in metres, which "
                "preprocess.depth_encoding minmax does not keep: use 0, log or metric"
            )
        if self.stage1.learns_tokens and self.student.start_from and self.replay.share:
            faults.append(
                "stage1.pca_weight or gl_weight with pairs that are replayed: earlier runs have no teacher's tokens of "
                "them; set both to 0, or replay.share=0"
            )
        processes = self.devices * self.num_nodes
        faults += [
            f"{name}.batch {section.batch} is not a multiple of devices x num_nodes = {processes}"
            for name, section in (("stage1", self.stage1), ("stage2", self.stage2))
            if section.batch % processes
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def learns_vocabulary(self) -> bool:
        """Whether ``vocabulary`` is needed."""
        return self.stage1.learns_vocabulary or self.stage2.learns_vocabulary

    def robot_preprocess(self) -> Preprocess:
        """The student's preprocessing, as it travels in the bundle."""
        return Preprocess(size_px=self.student.size_px, **self.preprocess.model_dump())


def recipe_file(name: Path | str) -> Path:
    """A recipe file, or the shipped one of a bare name such as "clip_kd".

    Raises:
        UserError: no file of that name is shipped.
    """
    path = Path(name)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        return path
    folder = resource("config/train")
    if not (shipped := folder / f"{path}.yaml").is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"recipe {str(name)!r}: none of this name is shipped; there are {names}; or pass a YAML file")
    return shipped


def load_recipe(path: Path | str | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML file, or the name of a shipped one, see :func:`recipe_file`; None is "edgevl".
        settings: overrides ``section.key=value``; the value is YAML (``0.1``, ``true``, ``[1, 2]``, ``{a:
            1}``).

    Raises:
        UserError: the file cannot be read, or the recipe is wrong; every fault is named in the one message.
    """
    path = resource("config/train/edgevl.yaml") if path is None else recipe_file(path)
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"recipe {path} cannot be read ({error}): pass a YAML file like config/train/demo.yaml"
        ) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UserError(f"recipe {path} holds a {type(data).__name__}: a mapping of sections is needed")
    for setting in settings:
        override(data, setting)
    return parse_recipe(data, origin=" --set ".join([str(path), *settings]))


def parse_recipe(data: dict[str, Any], *, origin: str) -> Recipe:
    """Validate a mapping; ``origin`` names it in the error.

    Raises:
        UserError: naming every fault, not only the first.
    """
    return parse_section(Recipe, data, origin=f"recipe {origin}")


def parse_section(kind: type[AnySection], data: dict[str, Any], *, origin: str) -> AnySection:
    """Validate a mapping as a section of any kind; ``origin`` names it in the error.

    Raises:
        UserError: naming every fault, not only the first.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_describe(fault) for fault in error.errors())
        raise UserError(f"{origin}: {faults}: correct these, nothing was started") from error


def dump_recipe(recipe: Recipe) -> bytes:
    """The recipe as resolved, as YAML that :func:`load_recipe` reads back to an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True).encode()


def override(data: dict[str, Any], setting: str) -> None:
    """Put ``section.key=value``, the value in YAML, into a mapping.

    Raises:
        UserError: it is no such setting.
    """
    key, separator, text = setting.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise UserError(f"--set {setting!r}: section.key=value is accepted, for example stage1.epochs=5")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"--set {setting!r}: {text!r} is not a YAML value; quote text that YAML reads otherwise"
        ) from error
    node = data
    for part in parts[:-1]:
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise UserError(f"--set {setting!r}: {part!r} holds a value, not a section; shorten the key")
        node = child
    node[parts[-1]] = value


def _describe(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "recipe"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such key"
    if fault["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}={fault['input']!r}: {message[0].lower()}{message[1:]}"
