"""WebDataset: tar files of samples, each an RGB file, a depth PNG of 16 bits and a JSON; written and read again."""

import io
import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.base.errors import UserError
from edgevl_core.camera.photo import decode_photo
from edgevl_core.pairlog.pairs import PairReader
from edgevl_train.datasets.exported import FORMAT_KEY, SUFFIX, ExportedPair, ExportSummary, depth_png, description
from edgevl_train.datasets.exported import exported_pairs as pairs_of
from edgevl_train.datasets.sample import Collection, Pixels, Sample
from edgevl_train.datasets.writer import OnProgress

DESCRIPTION = "dataset.json"
SHARD_PAIRS, SHARD_BYTES = 1000, 256 << 20
LAYOUT = f"an export of edgevl as WebDataset ({DESCRIPTION}, *.tar)"


def write_webdataset(
    reader: PairReader, out: Path, on_progress: OnProgress = lambda done, total: None, *, shard_pairs: int = SHARD_PAIRS
) -> ExportSummary:
    """Write ``out``/edgevl-000000.tar and so on, each of at most ``shard_pairs`` pairs or 256 MB, and dataset.json.

    A sample's files are KEY.rgb.jpg (or .png), KEY.depth.png, KEY.json. The same bag gives the same bytes.

    Raises:
        UserError: ``out`` exists, or the bag has no pairs; nothing is then left behind.
    """
    summary = ExportSummary()
    with atomic_directory(out) as directory:
        shard, tar = -1, None
        held = size = 0
        for number, pair in enumerate(pairs_of(reader, summary)):
            if tar is None or held >= shard_pairs or size >= SHARD_BYTES:
                if tar is not None:
                    tar.close()
                shard, held, size = shard + 1, 0, 0
                tar = tarfile.open(directory / f"edgevl-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            written = sum(_add(tar, name, data) for name, data in _files(number, pair))
            held, size = held + 1, size + written
            on_progress(number + 1, reader.expected)
        if tar is not None:
            tar.close()
        summary.bytes = sum(file.stat().st_size for file in directory.iterdir())
        content = {**description(reader, "webdataset"), "pairs": summary.pairs, "shards": shard + 1}
        (directory / DESCRIPTION).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return summary


def _files(number: int, pair: ExportedPair) -> Iterator[tuple[str, bytes]]:
    key = f"{pair.sequence:04d}-{number:08d}"
    yield f"{key}.rgb.{SUFFIX[pair.rgb_format]}", pair.rgb
    yield f"{key}.depth.png", depth_png(pair)
    yield f"{key}.json", json.dumps(pair.facts()).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    entry = tarfile.TarInfo(name)  # no time and no owner: the same bag, the same bytes
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
    return len(data)


def fits(source: Path) -> bool:
    """Whether ``source`` is such an export."""
    file = source / DESCRIPTION
    return file.is_file() and f'"{FORMAT_KEY}": "webdataset"' in file.read_text(encoding="utf-8", errors="replace")


def collect(source: Path, split: str | None = None) -> Collection:
    """The pairs with their own stamps.

    Raises:
        UserError: a tar file is damaged or lacks a file of a sample, or a split is asked for.
    """
    if split is not None:
        raise UserError(f"--split {split}: an export has no splits; leave --split out")
    samples: list[Sample] = []
    for file in sorted(source.glob("*.tar")):
        try:
            samples += _samples(file)
        except (tarfile.TarError, OSError, ValueError, KeyError) as error:
            raise UserError(f"{file} is damaged ({error}): copy or export it again") from error
    return Collection(samples)


def _samples(file: Path) -> Iterator[Sample]:
    with tarfile.open(file) as tar:
        entries: dict[str, dict[str, tarfile.TarInfo]] = {}
        for entry in tar.getmembers():
            key, _, rest = entry.name.partition(".")
            entries.setdefault(key, {})[rest] = entry
        for parts in entries.values():
            facts: dict[str, Any] = json.loads(_bytes(tar, parts["json"]))
            rgb = parts[f"rgb.{SUFFIX[facts['rgb_format']]}"]
            read = partial(_read, file, rgb.name, parts["depth.png"].name, facts["rgb_format"])
            yield sample_of(facts, read)


def sample_of(facts: dict[str, Any], read: "partial[Pixels]") -> Sample:
    """A sample from :meth:`ExportedPair.facts`."""
    return Sample(
        read,
        facts.get("room", ""),
        facts.get("home", ""),
        int(facts["stamp_ns"]),
        float(facts.get("furniture_fraction", 1.0)),
    )


def _read(file: Path, rgb: str, depth: str, rgb_format: str) -> Pixels:
    with tarfile.open(file) as tar:
        return pixels_of(_bytes(tar, tar.getmember(rgb)), rgb_format, _bytes(tar, tar.getmember(depth)), str(file))


def pixels_of(rgb: bytes, rgb_format: str, depth: bytes, name: str) -> Pixels:
    """The files of a sample; raises ValueError where depth is no 16-bit PNG."""
    image = decode_photo(np.frombuffer(depth, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(f"{name}: depth is no one-channel PNG of 16 bits")
    return Pixels(rgb, rgb_format, np.asarray(image, np.uint16))


def _bytes(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(entry)
    if stream is None:
        raise ValueError(f"{entry.name} is no file")
    return stream.read()
