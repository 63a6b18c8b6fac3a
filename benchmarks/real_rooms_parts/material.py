"""Real pictures as bags, the teacher made of photos, and the runs; each made once in the working directory."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.base.resources import resource
from edgevl_train.adapt import adapt
from edgevl_train.datasets import folder
from edgevl_train.datasets.writer import write_collection
from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import load_settings
from edgevl_train.recipe import Recipe, load_recipe

LABELS = Path(__file__).with_name("rooms.yaml")
HOME_ROOMS = ("bathroom", "bedroom", "dining room", "kitchen", "living room")
BACKBONE = "mobilenetv2_100"
MADE_FOR = ("mean=[0.5, 0.5, 0.5]", "std=[0.5, 0.5, 0.5]")  # by the README of the file of weights


@dataclass(frozen=True)
class Material:
    """Where the data lies (``data``, see EDGEVL_REAL_DATA), what was made of it, and how much of it is used.

    ``settings``: over the recipe real_rooms.yaml; ``photo_settings``: over those of the teacher; ``most_photos`` of
    each room, and ``most_pairs`` of a fold's training pairs.
    """

    data: Path
    work: Path
    folds: int = 5
    settings: tuple[str, ...] = ()
    photo_settings: tuple[str, ...] = ()
    most_photos: int | None = None
    most_pairs: int | None = None

    @property
    def teacher(self) -> str:
        """Spec of the teacher, made of photos of rooms and an ImageNet backbone; it has seen none of the pairs."""
        out = self.work / "teacher"
        if not out.exists():
            weights = self.data / "models" / f"{BACKBONE}_imagenet.safetensors"
            settings = load_settings(f"{BACKBONE}@{weights}", None, [*MADE_FOR, *self.photo_settings])
            resume = (self.work / ".teacher.pretraining").exists()
            pretrain([self.photos()], out, labels=LABELS, settings=settings, resume=resume)
        return f"open_clip:@{out}"

    def photos(self) -> Path:
        """One folder of photos a room; links to some of them where not all are used."""
        photos, out = self.data / "real_rooms" / "places_train", self.work / "photos"
        if self.most_photos is None:
            return photos
        for room in sorted(photos.iterdir()):
            (out / room.name).mkdir(parents=True, exist_ok=True)
            for photo in sorted(room.iterdir())[: self.most_photos]:
                if not (out / room.name / photo.name).exists():
                    (out / room.name / photo.name).symlink_to(photo)
        return out

    def fold_of_sequence(self) -> dict[str, int]:
        """Which fold judges a sequence: sequences of one room are dealt out to all folds."""
        samples = folder.collect(self.pairs_folder).samples
        room = {sample.scene: sample.room for sample in samples}
        order = np.random.default_rng(0).permutation(sorted(room)).tolist()
        dealt: dict[str, int] = {}
        for number, scene in enumerate(sorted(order, key=lambda scene: room[scene])):
            dealt[scene] = number % self.folds
        return dealt

    @property
    def pairs_folder(self) -> Path:
        """The real pairs."""
        return self.data / "real_rooms" / "nyu_train"

    def bag(self, fold: int, *, judging: bool) -> Path:
        """The pairs of one fold, or those of all others, whole sequences."""
        dealt = self.fold_of_sequence()
        scenes = {scene for scene, number in dealt.items() if (number == fold) == judging}
        return self._bag(f"{'test' if judging else 'train'}{fold}", scenes)

    def _bag(self, name: str, scenes: Collection[str]) -> Path:
        out = self.work / name
        if not out.exists():
            collection = folder.collect(self.pairs_folder)
            samples = [sample for sample in collection.samples if sample.scene in scenes]
            if self.most_pairs and name.startswith("train"):
                samples = samples[:: max(1, len(samples) // self.most_pairs)]
            write_collection(self.pairs_folder, replace(collection, samples=samples), out)
        return out

    def raw_depth(self) -> Path:
        """Pairs of another camera, whose depth has the holes that a robot's has; their rooms are not known."""
        out = self.work / "raw_depth"
        if not out.exists():
            source = self.data / "hololens_rgbd"
            write_collection(source, folder.collect(source), out)
        return out

    def run(self, fold: int, seed: int) -> Path:
        """The run directory of a student that has learned, without a label, from all folds but one."""
        out = self.work / f"run{seed}_{fold}"
        adapt([self.bag(fold, judging=False)], self.teacher, LABELS, out, self.recipe(seed), resume=out.exists())
        return out

    def recipe(self, seed: int) -> Recipe:
        """The recipe of all students."""
        return load_recipe(resource("config/train/real_rooms.yaml"), [*self.settings, f"seed={seed}", "threads=2"])


def described(material: Material, seed: int) -> dict[str, Any]:
    """What the figures were made with."""
    return {"recipe": material.recipe(seed).model_dump(mode="json"), "photo_settings": list(material.photo_settings)}
