"""What the students learn from and what judges them: simulated homes, and real rooms."""

from dataclasses import dataclass
from pathlib import Path

import one_home_parts.material as homes
import real_rooms_parts.material as rooms

from edgevl_core.base.resources import resource

TASKS = ("sim", "real")


@dataclass(frozen=True)
class Task:
    """A teacher, bags of pairs to learn from without a label, bags with truth that judge, labels, and a recipe.

    Attributes:
        judged: the labels that answers are chosen among.
    """

    name: str
    teacher: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    labels: Path
    judged: tuple[str, ...] | None
    recipe: Path


def simulated(work: Path, bags: Path | None, teacher: Path | None) -> Task:
    """The demo's homes and teacher: found in ``bags`` (train, logged, test) and ``teacher``, or made in ``work``."""
    made = homes.Material(work, 0)
    if bags is None:
        train, test = [made.train()], made.others()
    else:
        train = [bags / name for name in ("train", "logged") if (bags / name).exists()]
        test = bags / "test"
    if teacher is None:
        made.make_teacher()
        teacher = work / "teacher"
    return Task("sim", f"open_clip:@{teacher}", tuple(train), (test,), homes.LABELS, None, homes.DEMO)


def real(work: Path, data: Path, bags: Path | None, teacher: Path | None) -> Task:
    """NYU's pairs but the first fold, which judges, and the teacher made of photos: as benchmarks/real_rooms.py."""
    made = rooms.Material(data, work)
    if bags is None:
        train, test = made.bag(0, judging=False), made.bag(0, judging=True)
    else:
        train, test = bags / "train0", bags / "test0"
    spec = made.teacher if teacher is None else f"open_clip:@{teacher}"
    recipe = resource("config/train/real_rooms.yaml")
    return Task("real", spec, (train,), (test,), rooms.LABELS, rooms.HOME_ROOMS, recipe)
