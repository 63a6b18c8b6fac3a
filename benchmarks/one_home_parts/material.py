"""Drives, teacher and base students, made once in the working directory."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgevl_core.base.resources import resource
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import SCENE_TRUTH, deserialize, header_stamp_ns
from edgevl_core.pairlog.writer import BagWriter
from edgevl_sim import write_bag
from edgevl_train.adapt import adapt
from edgevl_train.pretrain.run import pretrain
from edgevl_train.recipe import Recipe, load_recipe

LABELS = resource("config/labels/home.yaml")
DEMO, HOME, ONE_DRIVE = (resource(f"config/train/{name}.yaml") for name in ("demo", "home", "one_drive"))
TRAIN_HOMES, OTHER_HOMES = 110, 20
DRIVE_FRAMES, OTHER_DAY_FRAMES = 40, 20  # of each of eight rooms


@dataclass(frozen=True)
class Material:
    """Where everything lies, and which homes are adapted to: ``homes`` of them, from number ``first_home`` on.

    ``given_teacher``: the spec of a teacher that is there already; "": one is made.
    """

    work: Path
    homes: int
    first_home: int = 0
    given_teacher: str = ""

    @property
    def teacher(self) -> str:
        """Spec of the teacher, pretrained on the drives that base students learn from."""
        return self.given_teacher or f"open_clip:@{self.work / 'teacher'}"

    def drive(self, home: int) -> Path:
        """The drive that is adapted to, 320 frames at 1 Hz."""
        return self.bag(f"home{home}", split="val", homes=1, first_home=home, frames_per_room=DRIVE_FRAMES, hz=1.0)

    def other_day(self, home: int) -> Path:
        """The second drive, which judges."""
        frames = {"frames_per_room": OTHER_DAY_FRAMES, "hz": 0.5}
        return self.bag(f"other_day{home}", split="val", homes=1, first_home=home, drive=1, **frames)

    def others(self) -> Path:
        """Homes that nobody adapts to."""
        return self.bag("others", split="test", homes=OTHER_HOMES, frames_per_room=5, hz=0.25)

    def train(self) -> Path:
        """Many homes, for teacher and base students."""
        return self.bag("train", split="train", homes=TRAIN_HOMES, frames_per_room=5, hz=0.25)

    def make_teacher(self) -> None:
        """Pretrain it, where that has not been done."""
        if not (self.work / "teacher").exists():
            pretrain([self.train()], self.work / "teacher")

    def base(self, seed: int, epochs: int, missing: Collection[str] = ()) -> Path:
        """The run of a student distilled from many homes by the demo's recipe; some rooms may be in none of them."""
        recipe = load_recipe(DEMO, [f"seed={seed}", f"stage1.epochs={epochs}"])
        bag = self.without(self.train(), missing) if missing else self.train()
        return self.run(f"base{seed}{_suffix(missing)}", bag, recipe)

    def run(self, name: str, bag: Path, recipe: Recipe) -> Path:
        """The run directory of an adaptation to one bag; one that is there is gone on with."""
        out = self.work / name
        adapt([bag], self.teacher, LABELS, out, recipe, resume=out.exists())
        return out

    def without(self, bag: Path, rooms: Collection[str]) -> Path:
        """A drive in which some rooms are never entered."""
        out = self.work / f"{bag.name}{_suffix(rooms)}"
        if not out.exists():
            with BagReader(bag) as reader, BagWriter(out) as writer:
                truth = next(topic.name for topic in reader.topics.values() if topic.msgtype == SCENE_TRUTH)
                seen = [deserialize(message.data, SCENE_TRUTH) for message in reader.messages([truth])]
                left_out = {header_stamp_ns(scene) for scene in seen if scene.room in rooms}
                for topic in reader.topics.values():
                    writer.add_topic(topic.name, topic.msgtype)
                for message in reader.messages(list(reader.topics)):
                    if message.stamp_ns not in left_out:
                        writer.write(message.topic, message.data, message.stamp_ns)
        return out

    def bag(self, name: str, **options: object) -> Path:
        """A simulated bag of that name, rendered once; ``options``: of :func:`edgevl_sim.write_bag`."""
        path = self.work / name
        if not path.exists():
            write_bag(path, seed=0, workers=2, **options)  # type: ignore[arg-type]
        return path


def _suffix(missing: Collection[str]) -> str:
    return f"_without_{'_'.join(sorted(missing)).replace(' ', '-')}" if missing else ""
