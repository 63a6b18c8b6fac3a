"""What every training over the same inputs shares: bags and teacher checked, pairs, views, targets, curation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank, build_label_bank
from edgevl_core.bundle.labels import LabelSet, label_file, load_labels
from edgevl_core.bundle.manifest import BagRecord
from edgevl_core.pairlog.doubts import bag_doubts
from edgevl_core.pairlog.pairs import expected_pairs
from edgevl_core.pairlog.reader import check_given_once
from edgevl_train.budget import load_ranking, within_budget
from edgevl_train.data import homes
from edgevl_train.data.cache import INDEX, Cache, build_cache, cache_key, check_recorded_once, find_bags, open_cache
from edgevl_train.data.coverage import Coverage, measure_coverage
from edgevl_train.data.curate import Curation, curate
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.replay import EarlierRun, earlier_pairs, earlier_runs, inherited
from edgevl_train.data.run_data import RunData
from edgevl_train.data.split import Split, split_pairs
from edgevl_train.data.temporal import smoothed
from edgevl_train.data.tokens import embed_tokens
from edgevl_train.data.views import draw_views
from edgevl_train.merge.runs import check_alike
from edgevl_train.merge.students import Students, load_students
from edgevl_train.new_student import check_stage1, new_student, own_widths
from edgevl_train.progress import RunProgress
from edgevl_train.provenance import learned_before
from edgevl_train.quantise.trial import check_student
from edgevl_train.recipe import Recipe
from edgevl_train.restore import as_noted_in, check_teacher, earlier_bundle
from edgevl_train.run_directory import INPUTS_FILE, Inputs, describe_inputs, open_run
from edgevl_train.sharing import among
from edgevl_train.student.network import Student
from edgevl_train.teacher.loading import Teacher, load_teacher
from edgevl_train.teacher.model import enlarged_views
from edgevl_train.teacher.text_export import exportable
from edgevl_train.teacher.tokens import token_width
from edgevl_train.training.distillation import long_warmups
from edgevl_train.training.distributed import first_process, own_device
from edgevl_train.training.precision import resolve_precision

RANDOM = (
    "the student begins with {}: it has to learn to see from these pairs alone (what that costs: docs/results.md); "
    "pass student.pretrained=FILE, or student.start_from=RUN"
)


@dataclass(frozen=True)
class Setup:
    """Everything that is checked before the first slow step.

    Attributes:
        warnings: as in TrainingInputs, to be said at once.
        tokens: whether a stage learns by the teacher's tokens.
        learned_before: what the student goes back to has learned from.
        students: who answers in the teacher's place; None: nobody.
        chosen: why this student, where the recipe gave a budget of time and no run had begun, or what pruning left of
            it; else empty.
    """

    bags: list[Path]
    teacher: Teacher
    labels: LabelSet
    superset: LabelSet | None
    vocabulary: LabelSet | None
    labels_path: Path
    recipe: Recipe
    student: Student
    earlier: list[EarlierRun]
    warnings: list[str]
    tokens: bool
    learned_before: tuple[BagRecord, ...]
    students: Students | None = None
    chosen: str = ""

    def words_of(self, recipe: Recipe) -> bytes:
        """The vocabulary where ``recipe`` learns by it, else nothing: for the names of what is trained by several."""
        if self.vocabulary is None or not recipe.learns_vocabulary:
            return b""
        return self.vocabulary.model_dump_json().encode()


@dataclass(frozen=True)
class TrainingInputs:
    """Made once, or found in the run directory. ``warnings``: what a person should know of it, one sentence each."""

    cache: Cache
    split: Split
    bank: LabelBank
    data: RunData
    curation: Curation
    coverage: Coverage
    warnings: list[str]


def prepare(
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    recipe: Recipe,
    *,
    out: Path | None = None,
    variants: Iterable[Recipe] = (),
) -> Setup:
    """Load and check the inputs.

    The student's way to the robot is tried first, unless that has been done: in this process, in the run of ``out`` or
    in the one that the recipe starts from.

    Args:
        out: the run directory, where there is to be one.
        variants: recipes that will learn from the same inputs.

    Raises:
        UserError: no bags or one named twice, a bag without RGB or depth, labels, teacher or student that do
            not load, a student that cannot be exported or cannot learn as its recipe says, an earlier run that cannot
            be gone on from.
    """
    recipe = inherited(recipe)
    paths = find_bags(bags)
    check_given_once(paths)
    labels = load_labels(labels_path)
    superset = load_labels(recipe.curation.superset) if recipe.curation.superset else None
    variants = list(variants)
    learns_vocabulary = any(each.learns_vocabulary for each in (recipe, *variants))
    vocabulary = load_labels(recipe.vocabulary) if learns_vocabulary else None
    for path in paths:
        expected_pairs(path, recipe.cache.pairs)
    check_recorded_once(paths)
    chosen = recipe.cache.pairs
    doubts = [f"{path}: {doubt}" for path in paths for doubt in bag_doubts(path, chosen.rgb, chosen.depth)]
    teacher = load_teacher(
        teacher_spec,
        batch=recipe.teacher.batch,
        precision=resolve_precision(recipe.teacher.precision, own_device(recipe)),
        device=own_device(recipe),
    )
    if recipe.text_encoder:
        exportable(teacher)
    if tokens := any(each.stage1.learns_tokens for each in (recipe, *variants)):
        token_width(teacher)
    why = ""
    if recipe.student.budget_ms is not None:
        recipe, why = within_budget(recipe, teacher.embed_dim, out, load_ranking())
    if recipe.student.merge:
        check_alike(recipe, label_file(labels_path))
        for run in recipe.student.merge:
            check_teacher(run, teacher)
    students = load_students(teacher, recipe)
    student = new_student(recipe.student, teacher, recipe.seed)
    for each in (recipe, *variants):
        other = each.student != recipe.student
        own = new_student(each.student, teacher, recipe.seed) if other else student
        check_stage1(own, each.stage1, each.student.size_px)
    if pruned := recipe.student.prune_share is not None:
        section = recipe.student.model_copy(update={"widths": own_widths(student, recipe.student)})
        recipe, why = recipe.model_copy(update={"student": section}), student.origin
    earlier = earlier_runs(recipe, teacher)
    start = recipe.student.start_from
    with_bundle = start is not None and earlier_bundle(start) is not None
    tried = with_bundle and not pruned
    if out is not None and (out / INPUTS_FILE).is_file():
        teacher, tried = as_noted_in(out, teacher), True
    if not tried and first_process():
        check_student(recipe.student, teacher.embed_dim)
    warnings = doubts + enlarged_views(teacher, recipe.cache.size_px)
    if student.origin.startswith("random weights, for"):
        warnings.append(RANDOM.format(student.origin))
    file = label_file(labels_path)
    found = (paths, teacher, labels, superset, vocabulary, file, recipe, student, earlier, warnings, tokens)
    return Setup(*found, learned_before(recipe), students, why)


def open_inputs(setup: Setup, out: Path, fabric: Fabric) -> Inputs:
    """Make the run directory for these inputs, or check that it belongs to them.

    Raises:
        UserError: it belongs to others.
    """
    recipe = setup.recipe
    superset = label_file(recipe.curation.superset) if recipe.curation.superset else None
    students = setup.students.key if setup.students else ""
    own = (setup.bags, setup.teacher, setup.labels_path, superset, recipe)
    inputs = describe_inputs(*own, students=students, share=among(fabric))
    with fabric.rank_zero_first():
        return open_run(out, inputs, recipe)


def gather(setup: Setup, inputs: Inputs, out: Path, progress: RunProgress, fabric: Fabric) -> TrainingInputs:
    """Cache, split, label bank, teacher's embeddings and curation in ``out``; goes on where an earlier run was cut off.

    Begins the stages "cache" and "teacher" of ``progress``.
    """
    recipe, teacher = setup.recipe, setup.teacher
    progress.stage("cache")
    cache = _cache(setup, inputs, out, progress, fabric)
    split = split_pairs(cache.stamp_ns, cache.bag, recipe.split, recipe.seed)
    bank = build_label_bank([setup.labels] + ([setup.superset] if setup.superset else []), teacher.encode_text)
    views = draw_views(len(cache), recipe.views, recipe.seed)
    progress.stage("teacher")
    how: dict[str, Any] = {"on_progress": progress.update, "only_full": split.val, "fabric": fabric}
    embed = setup.students.embed_views if setup.students else embed_views
    targets = embed(teacher, cache, views, out, **how)
    tokens = embed_tokens(teacher, cache, views, out, **how) if setup.tokens else np.zeros((0, 0, 0), np.float16)
    targets = smoothed(targets, cache.stamp_ns, cache.bag, split.val, recipe.temporal)
    own = bank.select(setup.labels.names)
    superset = build_label_bank([setup.superset], teacher.encode_text) if setup.superset else own

    def judge(embeddings: NDArray[np.float32]) -> Curation:
        return curate(embeddings, superset.vectors, list(superset.names), teacher.logit_scale, recipe.curation)

    curation = judge(np.asarray(targets[0, split.train], np.float32))
    pseudo_label = np.full(len(cache), -1, np.int64)
    pseudo_label[split.train] = curation.pseudo_label
    kept = split.train[curation.kept]
    answer = (np.asarray(targets[0], np.float32) @ own.vectors.T).argmax(1)
    coverage = measure_coverage(own.names, answer, kept, split.val)
    replay = earlier_pairs(setup.earlier, cache, split.val, recipe.split.gap_s, own, teacher.logit_scale, judge)
    data = RunData(
        cache,
        views,
        targets,
        kept,
        split.val,
        pseudo_label,
        own.vectors,
        teacher.logit_scale,
        coverage.stands,
        replay,
        build_label_bank([setup.vocabulary], teacher.encode_text).vectors if setup.vocabulary else bank.vectors[:0],
        tokens,
    )
    lost = [f"{bag['name']}: lost: {loss}" for bag in cache.index["bags"] for loss in bag["losses"]]
    warnings = setup.warnings + lost + coverage.warnings() + long_warmups(data, recipe, fabric)
    if recipe.one_home:
        names = [path.name for path in setup.bags]
        whole = np.asarray(targets[0], np.float32)
        warnings += homes.warnings(whole, cache.stamp_ns, cache.bag, own.vectors, names)
    return TrainingInputs(cache, split, bank, data, curation, coverage, warnings)


def _cache(setup: Setup, inputs: Inputs, out: Path, progress: RunProgress, fabric: Fabric) -> Cache:
    hashes = [digest for _, digest in inputs.bags]
    directory, robot, section = out / "cache", setup.recipe.robot_preprocess(), setup.recipe.cache
    if fabric.broadcast((directory / INDEX).exists()):
        cache = open_cache(directory)
        if cache.key == cache_key(hashes, robot, section):
            return cache
        raise UserError(f"training cache {directory} is of other bags or settings: remove it, it is made again")
    given = (setup.bags, directory, robot, section, progress.update)
    return build_cache(*given, bag_hashes=hashes, fabric=fabric)
