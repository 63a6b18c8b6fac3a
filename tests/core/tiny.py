"""A student small enough for unit tests: the mean colour of the picture, as a unit vector (3 numbers)."""

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import BagRecord, ByModality, Manifest, Provenance, files_id, manifest_id
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import Preprocess

SIZE_PX = 16
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def write_student(path: Path, *, gain=(1.0, 1.0, 1.0), batch="batch", size_px: int = SIZE_PX) -> Path:
    """(N, 3, S, S) uint8 -> mean colour minus 128, times gain, as a unit vector (N, 3)."""
    constants = {
        "middle": np.float32(128),
        "gain": np.array(gain, np.float32).reshape(1, 3, 1, 1),
        "shape": np.array([-1, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "middle"], ["centred"]),
        helper.make_node("GlobalAveragePool", ["centred"], ["mean"]),
        helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], ["row"]),
        helper.make_node("LpNormalization", ["row"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [batch, 3, size_px, size_px])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return path


def colour_bank() -> LabelBank:
    """Red, green, blue; "crimson" is a synonym of red."""
    vectors = np.array(list(COLOURS.values()), np.float32) - 128
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prompts = tuple((f"a photo of a {name} room",) for name in COLOURS)
    return LabelBank(tuple(COLOURS), prompts, (("crimson",), (), ()), vectors)


def write_colour_bundle(path: Path, *, threshold: float = 0.5, **changes: object) -> Manifest:
    """A whole bundle around the tiny student; ``changes``: other fields of BundleContents or of its Answering."""
    folder = path.parent
    golden = np.random.default_rng(0).integers(0, 256, (4, 3, SIZE_PX, SIZE_PX), dtype=np.uint8)
    golden[:, 0] //= 2
    answering: dict = {
        "preprocess": Preprocess(size_px=SIZE_PX),
        "bank": colour_bank(),
        "logit_scale": 5.0,
        "temperature": ByModality(rgb=1.0, depth=2.0, rgbd=1.0),
        "unknown_threshold": ByModality(rgb=threshold, depth=threshold, rgbd=threshold),
    }
    contents: dict = {
        "student_onnx": write_student(folder / "int8.onnx"),
        "student_fp32_onnx": write_student(folder / "fp32.onnx"),
        "golden_pixels": golden,
        "student": "tiny",
        "teacher": "open_clip:none",
        "metrics": {"rgb": {"top1": 0.9}, "samples": 12},
        "provenance": Provenance(
            bags=(BagRecord(name="drive", sha256="0" * 64, pairs=12),),
            recipe={"stage1": {"epochs": 3}},
            software={"edgevl": "0.1.0"},
            created="2025-01-01T00:00:00Z",
        ),
    }
    for name, value in changes.items():
        (answering if name in answering else contents)[name] = value
    return write_bundle(path, BundleContents(answering=Answering(**answering), **contents))


def edit_manifest(bundle: Path, **changes: object) -> None:
    """Change ``manifest.json`` and nothing else: a damaged bundle."""
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reseal(bundle: Path, **changes: object) -> None:
    """Make the manifest agree with the files as they are and its id with it, as whoever forges a bundle would."""
    content = json.loads((bundle / "manifest.json").read_text()) | changes
    if "files" not in changes:
        content["files"] = {name: sha256_file(bundle / name) for name in content["files"]}
    old = content["schema_version"] in (1, 2)
    content["bundle_id"] = files_id(content["files"]) if old else manifest_id(content)
    (bundle / "manifest.json").write_text(json.dumps(content))


def as_schema(bundle: Path, version: int) -> None:
    """Make a bundle as an earlier release wrote it."""
    with np.load(bundle / "golden.npz") as arrays:
        kept = {name: arrays[name] for name in ("pixels", "student", "student_fp32")}
    np.savez(bundle / "golden.npz", **kept)
    content = json.loads((bundle / "manifest.json").read_text())
    if version == 1:
        del content["trust"]
    (bundle / "manifest.json").write_text(json.dumps(content))
    reseal(bundle, schema_version=version)


def colour_image(name: str, height: int = 24, width: int = 32) -> np.ndarray:
    """(H, W, 3) uint8, mostly of one colour, with some contrast."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = COLOURS[name]
    image[: height // 3] = image[: height // 3] // 2 + 40
    return image


def exif(orientation: int) -> bytes:
    """Of a JPEG: an APP1 segment whose only entry is the orientation."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + bytes(4)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def huge_png() -> bytes:
    """A PNG whose header says 40000x40000 pixels, more than OpenCV takes."""
    small = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    header = b"IHDR" + struct.pack(">II", 40000, 40000) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
