"""Real rooms: a teacher made of photos, a student that learns from real RGB-D pairs without a label, judged by truth.

python benchmarks/real_rooms.py [--work DIR] [--seeds 0] [--quick] [--set key=value ...] [--json FILE]

EDGEVL_REAL_DATA names the folder with real_rooms, models and hololens_rgbd. The teacher: Places photos, an ImageNet
backbone (`edgevl teacher pretrain`). The students: config/train/real_rooms.yaml, on the pairs of NYU Depth V2's
training half but one fold of five, whole sequences; the fold that was left out judges, by its frames of the five rooms
of a home. All answers of the five folds are pooled; 95 % intervals are of drawing whole sequences again. What was
made, and every figure, is kept in --work: a run that was cut off goes on; other code or recipes want another directory.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from real_rooms_parts import judge
from real_rooms_parts.material import Material, described
from real_rooms_parts.table import show
from remembered import remembered

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import read_pairs

# The student begins as the teacher's tower, sees pictures of its size, and takes small steps away from it: with so few
# epochs larger ones undo what it knew.
QUICK = ("student.size_px=48", "cache.size_px=96", "views.count=2", "stage1.epochs=4", "stage1.lr=1.0e-4")
QUICK += ("stage2.epochs=1", "stage2.lr=2.0e-5")
QUICK_PHOTOS = ("model.vision_cfg.image_size=96", "frozen_epochs=2", "epochs=0")


def main(command: list[str] | None = None) -> int:
    """Exit code 2 where the data is not here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/real_rooms"))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--quick", action="store_true", help="one fold, small pictures, few epochs: does it all run?")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="over the students' recipe")
    parser.add_argument("--photo-set", action="append", default=[], help="over the teacher's settings")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(command)
    try:
        figures = measure(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.json:
        atomic_write(arguments.json, json.dumps(figures, indent=1).encode())
    show(figures)
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures, each made once."""
    settings, photo_settings, some = [*arguments.settings], [*arguments.photo_set], {}
    if arguments.quick:
        settings, photo_settings = [*QUICK, *settings], [*QUICK_PHOTOS, *photo_settings]
        some = {"most_photos": 300, "most_pairs": 200}
    material = Material(
        real_data(),
        arguments.work.resolve(),
        settings=tuple(settings),
        photo_settings=tuple(photo_settings),
        **some,
    )
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    results = arguments.work / "results"
    started = time.monotonic()
    remembered(results, "teacher", lambda: {"spec": material.teacher, "wall_s": time.monotonic() - started})
    folds = range(1 if arguments.quick else material.folds)
    answers = {
        (seed, fold): remembered(results, f"fold/{seed}/{fold}", lambda s=seed, f=fold: _fold(material, s, f))
        for seed in seeds
        for fold in folds
    }
    for (seed, fold), found in answers.items():
        kept = remembered(results, f"kept/{seed}/{fold}", lambda s=seed, f=fold: _untrained(material, s, f))
        found["given"][judge.UNTRAINED] = kept
    heads = [remembered(results, f"supervised/{fold}", lambda f=fold: _supervised(material, f)) for fold in folds]
    raw = remembered(results, f"raw/{seeds[0]}", lambda: _raw_depth(material, seeds[0]))
    return {
        "made_with": described(material, seeds[0]),
        "rows": pooled(answers, heads, seeds, list(folds)),
        "raw": raw,
        "minutes": sum(answer["wall_s"] for answer in answers.values()) / 60,
    }


def real_data() -> Path:
    """The folder that EDGEVL_REAL_DATA names.

    Raises:
        UserError: it is not set, or lacks a part.
    """
    named = os.environ.get("EDGEVL_REAL_DATA", "")
    missing = [part for part in ("real_rooms", "models", "hololens_rgbd") if not (Path(named) / part).is_dir()]
    if not named or missing:
        raise UserError(
            f"EDGEVL_REAL_DATA {named!r} names no folder with {', '.join(missing)}: "
            "set it to where the real pictures lie"
        )
    return Path(named).resolve()


def _fold(material: Material, seed: int, fold: int) -> dict[str, Any]:
    """Everybody's answers to the frames of one fold."""
    started = time.monotonic()
    run = material.run(fold, seed)
    wall_s = time.monotonic() - started
    teacher, pairs = judge.loaded(material.teacher), judge.known_frames(material.bag(fold, judging=True))
    true, sequence = judge.truth(pairs)
    given = {kind: judge.answered(judge.student(run, kind, teacher), pairs) for kind in judge.STUDENTS}
    given["teacher"] = judge.answered(judge.teacher_seen(teacher, run), pairs)
    return {"given": given, "true": true, "sequence": sequence, "wall_s": wall_s}


def _untrained(material: Material, seed: int, fold: int) -> dict[str, list[int]]:
    teacher, train = judge.loaded(material.teacher), list(read_pairs(material.bag(fold, judging=False)))
    student = judge.untrained_int8(material.run(fold, seed), train, teacher)
    return judge.answered(student, judge.known_frames(material.bag(fold, judging=True)))


def _supervised(material: Material, fold: int) -> dict[str, list[int]]:
    teacher, encoding = judge.loaded(material.teacher), material.recipe(0).preprocess.depth_encoding
    train, test = (judge.known_frames(material.bag(fold, judging=judging)) for judging in (False, True))
    return {
        name: judge.supervised(judge.tower_features(teacher, encoding if name == "depth" else ""), train, test)
        for name in ("rgb", "depth")
    }


def _raw_depth(material: Material, seed: int) -> dict[str, Any]:
    """A camera with holes: agreement with the teacher, where no room is known; and its holes in the pairs of a fold."""
    run, teacher = material.run(0, seed), judge.loaded(material.teacher)
    student, others = judge.student(run, "int8", teacher), list(read_pairs(material.raw_depth()))
    pairs = judge.known_frames(material.bag(0, judging=True))
    true, sequence = judge.truth(pairs)
    punched = judge.with_holes(pairs, others)
    return {
        "pairs": len(others),
        "holes": float(np.mean([np.isnan(pair.depth_m).mean() for pair in others])),
        **judge.agreement(student, teacher, others),
        "whole": {m: judge.figures(given, true, sequence) for m, given in judge.answered(student, pairs).items()},
        "punched": {m: judge.figures(given, true, sequence) for m, given in judge.answered(student, punched).items()},
    }


def pooled(
    answers: dict[tuple[int, int], Any], heads: list[dict[str, list[int]]], seeds: list[int], folds: list[int]
) -> dict[str, Any]:
    """Row -> modality -> figures, over all folds; several seeds: their mean, and the spread of top-1."""
    first = [answers[seeds[0], fold] for fold in folds]
    true = [room for fold in first for room in fold["true"]]
    sequence = [name for fold in first for name in fold["sequence"]]
    rows: dict[str, Any] = {
        "supervised head": {
            name: judge.figures([g for head in heads for g in head[name]], true, sequence) for name in ("rgb", "depth")
        }
    }
    commonest = int(np.bincount(true).argmax())
    rows["majority class"] = {"rgb": judge.figures([commonest] * len(true), true, sequence)}
    for kind in ("teacher", *judge.STUDENTS, judge.UNTRAINED):
        rows[kind] = {}
        for name in ("rgb", "depth") if kind == "teacher" else ("rgb", "depth", "rgbd"):
            of_seed = [
                judge.figures([g for fold in folds for g in answers[seed, fold]["given"][kind][name]], true, sequence)
                for seed in seeds
            ]
            mean = {key: np.mean([found[key] for found in of_seed], axis=0).tolist() for key in of_seed[0]}
            top1 = [found["top1"][0] for found in of_seed]
            rows[kind][name] = mean | {"spread": float(np.std(top1, ddof=1)) if len(top1) > 1 else None}
    return {"frames": len(true), "sequences": len(set(sequence)), "seeds": len(seeds), "by": rows}


if __name__ == "__main__":
    sys.exit(main())
