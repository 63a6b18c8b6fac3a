"""What the tests of scene_classifier share: who must hear whom, and that everything is accounted for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.label_bank import build_label_bank
from edgevl_core.bundle.labels import Label, LabelSet
from edgevl_core.bundle.manifest import ByModality, Provenance
from edgevl_core.bundle.text_encoder import OnnxTextEncoder
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import Preprocess
from tests.core.tiny_text import write_text_encoder
from tests.ros import harness

NODE = "scene_classifier"
FATES = ("answered", "superseded", "failed", "idle", "rate_limited")
Stats = Callable[[], dict[str, str]]


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def listening(stats: Stats, scene_subscribers: int = 1) -> list[tuple[Stats, str, int]]:
    """What must be matched before the first image, so that every one is received and every answer heard."""
    streams = ("publishers_rgb", "publishers_depth")
    return [(stats, "scene_subscribers", scene_subscribers), *((stats, stream, 1) for stream in streams)]


def numbers(stats: Stats, *names: str) -> dict[str, int]:
    return {name: int(stats().get(name, 0)) for name in names}


def accounted(stats: Stats) -> bool:
    """Whether the classifier has dealt with every frame."""
    counts = numbers(stats, "frames", *FATES)
    return counts["frames"] > 0 and sum(counts.values()) == 2 * counts["frames"]


def unaccounted(stats: Stats) -> dict[str, int]:
    """Images and frames that the statistics do not explain, by kind; each is 0 at any moment."""
    values = stats()
    dropped = sum(
        int(value)
        for name, value in values.items()
        if name.startswith(("rgb_", "depth_")) and not name.endswith("_alone")
    )
    count = numbers(stats, "received_rgb", "received_depth", "pairs", "rgb_alone", "depth_alone", "waiting", "frames")
    alone = count["rgb_alone"] + count["depth_alone"]
    fates = sum(numbers(stats, *FATES, "in_progress").values())
    return {
        "images": count["received_rgb"]
        + count["received_depth"]
        - 2 * count["pairs"]
        - alone
        - dropped
        - count["waiting"],
        "frames": count["frames"] - fates,
        "frames of images": count["frames"] - count["pairs"] - alone,
    }


DIM = 16


def write_speaking_bundle(path: Path, *, seed: int, layers: int) -> str:
    """A bundle with a text encoder, slow by ``layers``; returns its bundle_id."""
    text = write_text_encoder(path.with_suffix(".text"), DIM, seed=seed, layers=layers, width=1024)
    labels = tuple(Label(name=name) for name in harness.LABELS)
    ones = ByModality(rgb=1, depth=1, rgbd=1)
    student = harness.write_student(path.with_suffix(".onnx"), 32, DIM, 0, seed)
    manifest = write_bundle(
        path,
        BundleContents(
            student_onnx=student,
            student_fp32_onnx=student,
            answering=Answering(
                preprocess=Preprocess(size_px=32),
                bank=build_label_bank([LabelSet(templates=("a {}",), labels=labels)], OnnxTextEncoder(text)),
                logit_scale=10.0,
                temperature=ones,
                unknown_threshold=ByModality(rgb=0, depth=0, rgbd=0),
            ),
            golden_pixels=np.random.default_rng(seed).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8),
            student="test",
            teacher="test",
            provenance=Provenance(created="2026-01-01T00:00:00Z"),
            text_encoder=text,
        ),
    )
    return manifest.bundle_id
