"""Bundles around the default student with random weights: times depend on neither weights nor words.

python student.py FOLDER writes FOLDER/first and FOLDER/second: one student, other words' vectors, hence other ids. A
program of its own, so that the one that listens to the robot is without torch, as the robot is.
"""

import sys
from pathlib import Path

import numpy as np

from edgevl_cli.benchmark.files import EMBED_DIM, FLOAT, STATIC, Model, student
from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import ByModality, Provenance
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.student.presets import DEFAULT, PRESETS

NAMES = tuple(f"room {number}" for number in range(20))


def write(path: Path, model: Model, seed: int) -> None:
    """A bundle of the student's files."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(NAMES), EMBED_DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    size_px = PRESETS[DEFAULT].size_px
    write_bundle(
        path,
        BundleContents(
            student_onnx=model.files[STATIC],
            student_fp32_onnx=model.files[FLOAT],
            answering=Answering(
                preprocess=Preprocess(size_px=size_px),
                bank=LabelBank(NAMES, tuple((f"a photo of {name}",) for name in NAMES), ((),) * len(NAMES), vectors),
                logit_scale=100.0,
                temperature=ByModality(rgb=1, depth=1, rgbd=1),
                unknown_threshold=ByModality(rgb=0, depth=0, rgbd=0),
            ),
            golden_pixels=rng.integers(0, 256, (2, 3, size_px, size_px), dtype=np.uint8),
            student=model.name,
            teacher="none",
            provenance=Provenance(created="1970-01-01T00:00:00Z"),
        ),
    )


def main() -> None:
    """Write two bundles into a new folder."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    model = student(DEFAULT, folder)
    for seed, name in enumerate(("first", "second")):
        write(folder / name, model, seed)


if __name__ == "__main__":
    main()
