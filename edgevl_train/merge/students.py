"""Several robots' students as one teacher: what they make of a pair together, in the space of the teacher they share.

Each is shown the pair as on its robot, in its own size, and answers from both cameras as there: the mean of its two
embeddings, weighted by how far it believes each camera. The target of a pair is the mean of all their answers, brought
to unit length. An answer whose two halves disagree is short, and so counts less.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import STUDENT_INT8, check_file
from edgevl_core.bundle.fusion import DEFAULT_TRUST, RGB_ONLY, Trust, depth_quality, mix, rgb_quality
from edgevl_core.bundle.manifest import MANIFEST_FILE, read_manifest
from edgevl_core.bundle.self_test import try_student
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.engine import Engine
from edgevl_train.data.cache import Cache
from edgevl_train.data.embeddings import EMBEDDINGS, Encoding, Shown, store_views
from edgevl_train.data.views import Views
from edgevl_train.merge.runs import NEEDED, check_once
from edgevl_train.recipe import Recipe, load_recipe
from edgevl_train.restore import check_bundle_teacher, check_teacher, load_float_student
from edgevl_train.run_directory import FLOAT_STUDENT
from edgevl_train.teacher.model import Teacher

ACCEPTED = (
    f"a bundle (of which {MANIFEST_FILE} and {STUDENT_INT8} are enough) or a run of `edgevl adapt` (of which "
    f"{', '.join(NEEDED)} are enough) is accepted"
)


@dataclass(frozen=True)
class Member:
    """One robot's student.

    Attributes:
        network: (B, 3, S, S) uint8 -> (B, D) float32, L2-normalised.
        sha256: of its weights.
    """

    path: Path
    network: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    preprocess: Preprocess
    trust: Trust
    sha256: str

    def answer(self, shown: Shown) -> NDArray[np.float32]:
        """(B, D) float32, of length <= 1: what it makes of both cameras together; of RGB, where it knows no depth."""
        rgb, depth = (pixels.numpy() for pixels in shown.inputs(self.preprocess.size_px))
        if self.trust == RGB_ONLY:  # in the dark as well, where neither camera would be believed
            return self.network(rgb)
        pictures = [np.moveaxis(pixels, 1, -1) for pixels in (rgb, depth)]
        quality = (rgb_quality(pictures[0], self.trust.rgb), depth_quality(pictures[1], self.trust.depth))
        return mix(np.stack([self.network(rgb), self.network(depth)]), np.stack(quality))


@dataclass(frozen=True)
class Students:
    """Those that answer in their teacher's place; ``share`` of a target is theirs, the rest the teacher's."""

    members: tuple[Member, ...]
    share: float = 1.0

    @property
    def key(self) -> str:
        """Hex digest of what decides their answers."""
        parts = [f"{each.sha256} {each.preprocess} {each.trust}" for each in self.members] + [str(self.share)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def line(self) -> str:
        """Who they are, in one line."""
        beside = "in the teacher's place" if self.share == 1 else f"beside the teacher ({self.share:g} of a target)"
        return f"{len(self.members)} students answer {beside}: {', '.join(str(each.path) for each in self.members)}"

    def answer(self, shown: Shown) -> Tensor:
        """(B, D) float32, L2-normalised."""
        together = np.mean([each.answer(shown) for each in self.members], axis=0, dtype=np.float32)
        return functional.normalize(torch.from_numpy(together), dim=-1)

    def embed_views(
        self,
        teacher: Teacher,
        cache: Cache,
        views: Views,
        directory: Path,
        on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
        *,
        only_full: NDArray[np.int64] | None = None,
        fabric: Fabric | None = None,
    ) -> NDArray[np.float16]:
        """As :func:`edgevl_train.data.embeddings.embed_views`; ``teacher``: the one whose space they answer in."""

        def target(shown: Shown) -> Tensor:
            theirs = self.answer(shown)
            if self.share == 1:
                return theirs
            own = teacher.encode_pixels(shown.rgb(teacher.device))
            return functional.normalize(torch.lerp(own, theirs, self.share), dim=-1)

        encoding = Encoding(EMBEDDINGS, teacher.embed_dim, target, self.key)
        return store_views(encoding, teacher, cache, views, directory, on_progress, only_full, fabric)


def load_students(teacher: Teacher, recipe: Recipe) -> Students | None:
    """The students of ``recipe.teacher.students``; None where it names none.

    A run with a bundle answers as its bundle does.

    Raises:
        UserError: a path that is neither run nor bundle; one student twice; another teacher; another depth encoding, or
            a larger input than the training cache keeps; a share of the target for students that are not named.
    """
    if not recipe.teacher.students:
        if recipe.teacher.students_share < 1:
            raise UserError(
                f"teacher.students_share={recipe.teacher.students_share:g}: there are no students to share with: give "
                "teacher.students=[RUN, BUNDLE], or leave it out"
            )
        return None
    members = tuple(_load(path, teacher) for path in recipe.teacher.students)
    check_once([(path, each.sha256) for path, each in zip(recipe.teacher.students, members, strict=True)])
    mine, side = recipe.preprocess.depth_encoding, recipe.cache.size_px
    for each in members:
        if (theirs := each.preprocess.depth_encoding) != mine:
            raise UserError(
                f"{each.path}: its student sees depth as {theirs}, the new one as {mine}: teach it with "
                f"--set preprocess.depth_encoding={theirs}, and by students that see alike"
            )
        if each.preprocess.size_px > side:
            raise UserError(
                f"{each.path}: its student sees {each.preprocess.size_px} px, the training cache keeps {side}: "
                f"--set cache.size_px={each.preprocess.size_px} or more"
            )
    return Students(members, recipe.teacher.students_share)


def _load(path: Path, teacher: Teacher) -> Member:
    for bundle in (path, path / "bundle"):
        if (bundle / MANIFEST_FILE).is_file():
            return _of_bundle(bundle, teacher)
    if missing := [name for name in NEEDED if not (path / name).is_file()]:
        raise UserError(f"{path} has no {', '.join(missing)}: {ACCEPTED}")
    check_teacher(path, teacher)
    recipe = load_recipe(path / NEEDED[0])
    student = load_float_student(path, recipe.student, teacher.embed_dim)
    sha256 = sha256_file(path / FLOAT_STUDENT)
    return Member(path, partial(_on_numpy, student), recipe.robot_preprocess(), DEFAULT_TRUST, sha256)


def _of_bundle(path: Path, teacher: Teacher) -> Member:
    """A bundle's int8 student, of which manifest and ONNX file alone may have come."""
    manifest = read_manifest(path)
    check_bundle_teacher(path, manifest, teacher)
    if not (path / STUDENT_INT8).is_file() or STUDENT_INT8 not in manifest.files:
        raise UserError(f"{path} has no {STUDENT_INT8}: {ACCEPTED}")
    check_file(path, manifest, STUDENT_INT8)  # it comes from another machine
    try_student(path / STUDENT_INT8)
    network, sha256 = Engine(path / STUDENT_INT8, threads=2), manifest.files[STUDENT_INT8]
    if (network.embedding_dim, network.size_px) != (teacher.embed_dim, manifest.preprocess.size_px):
        raise UserError(
            f"{path}: {STUDENT_INT8} takes {network.size_px} px and gives {network.embedding_dim} dimensions, its "
            f"manifest says {manifest.preprocess.size_px} px and the teacher {teacher.embed_dim}: copy the bundle again"
        )
    return Member(path, network, manifest.preprocess, manifest.trust, sha256)


@torch.inference_mode()
def _on_numpy(student: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(student(torch.from_numpy(pixels)).float().numpy())


def distil_recipe(students: Sequence[Path], recipe: Recipe) -> Recipe:
    """The recipe of a new student, with these as its teachers.

    Raises:
        UserError: fewer than two, or the recipe names students as well.
    """
    paths = tuple(path.absolute() for path in students)
    if len(paths) < 2:
        raise UserError(f"{len(paths)} students to learn from: give two or more; {ACCEPTED}")
    if recipe.teacher.students:
        raise UserError("teacher.students is set by recipe or --set, and students are given as well: leave one out")
    teacher = recipe.teacher.model_copy(update={"students": paths})
    return recipe.model_copy(update={"teacher": teacher})
