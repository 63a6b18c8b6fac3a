"""LeRobot's layout, version 2.1: a parquet file an episode with the pictures in it; written and read again.

An episode is a run of pairs without a pause of 30 s. `timestamp` counts frames, as the format asks for; the real stamps
are columns of their own. There is no action: nobody drove to show how.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import PairReader
from edgevl_train.datasets.exported import FORMAT_KEY, ExportedPair, ExportSummary, depth_png, description
from edgevl_train.datasets.exported import exported_pairs as pairs_of
from edgevl_train.datasets.sample import Collection, Pixels, Sample
from edgevl_train.datasets.webdataset import pixels_of, sample_of
from edgevl_train.datasets.writer import OnProgress

INFO = "meta/info.json"
LAYOUT = f"an export of edgevl in LeRobot's layout ({INFO})"
RGB, DEPTH, FACTS = "observation.images.rgb", "observation.images.depth", "observation.facts"
COLUMNS = {FACTS: "string", "observation.stamp_ns": "int64", "timestamp": "float32"} | dict.fromkeys(
    ("frame_index", "episode_index", "index", "task_index"), "int64"
)
TASK = "drive through the home"
CHUNK, GROUP = 1000, 32  # episodes in a folder; pairs in a row group


def parquet() -> Any:
    """pyarrow.parquet.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("LeRobot's layout needs pyarrow, not installed here: pip install pyarrow") from error
    return pyarrow.parquet


def write_lerobot(reader: PairReader, out: Path, on_progress: OnProgress = lambda done, total: None) -> ExportSummary:
    """Write data/chunk-000/episode_000000.parquet and so on, and meta/.

    Raises:
        UserError: pyarrow is missing, ``out`` exists, pictures of one bag differ in size, or the bag has no pairs;
            nothing is then left behind.
    """
    parquet()
    summary = ExportSummary()
    with atomic_directory(out) as directory:
        (directory / "meta").mkdir()
        episodes: list[_Episode] = []
        rate = 0
        sizes: set[tuple[tuple[int, ...], ...]] = set()
        done = 0
        for group in _groups(pairs_of(reader, summary)):
            rate = rate or _rate([pair.stamp_ns for pair in group])
            sizes |= {(pair.shape, pair.depth_mm.shape) for pair in group}
            if len(sizes) > 1:
                raise UserError(f"{reader.path}: pictures of several sizes, LeRobot takes one: use --to webdataset")
            if len(episodes) <= group[0].sequence:
                if episodes:
                    episodes[-1].writer.close()
                episodes.append(_begin(_file(directory, len(episodes))))
            _write_group(episodes, group, done, rate)
            done += len(group)
            on_progress(done, reader.expected)
        if episodes:
            episodes[-1].writer.close()
            _write_meta(directory, reader, episodes, sizes.pop(), rate)
        summary.bytes = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return summary


@dataclass
class _Episode:
    """``seen``: a few pixels of each picture, (P, 3) float64 in 0..1, for the statistics."""

    writer: Any
    length: int = 0
    seen: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {RGB: [], DEPTH: []})


def _groups(pairs: Iterator[ExportedPair]) -> Iterator[list[ExportedPair]]:
    """Neighbours of one sequence, at most GROUP: what is held in memory, and a row group of the file."""
    for _, sequence in groupby(pairs, key=lambda pair: pair.sequence):
        while group := list(islice(sequence, GROUP)):
            yield group


def _rate(stamps: list[int]) -> int:
    """Frames a second by the median step, at least 1: the format wants a whole number."""
    return max(1, round(1e9 / float(np.median(np.diff(stamps))))) if len(stamps) > 1 else 1


def _file(directory: Path, episode: int) -> Path:
    return directory / "data" / f"chunk-{episode // CHUNK:03d}" / f"episode_{episode:06d}.parquet"


def _schema() -> Any:
    import pyarrow

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    types = {"string": pyarrow.string(), "int64": pyarrow.int64(), "float32": pyarrow.float32()}
    fields = [(RGB, picture), (DEPTH, picture), *((name, types[dtype]) for name, dtype in COLUMNS.items())]
    features = {key: {"_type": "Image"} for key in (RGB, DEPTH)}
    features |= {name: {"dtype": dtype, "_type": "Value"} for name, dtype in COLUMNS.items()}
    # So that the library `datasets` gives pictures, not structs.
    return pyarrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _begin(file: Path) -> _Episode:
    file.parent.mkdir(parents=True, exist_ok=True)
    return _Episode(parquet().ParquetWriter(file, _schema()))


def _write_group(episodes: list[_Episode], group: list[ExportedPair], first: int, rate: int) -> None:
    import pyarrow

    episode = episodes[-1]
    rows = []
    for at, pair in enumerate(group):
        frame, depth = episode.length + at, depth_png(pair)
        rows.append(
            {
                RGB: {"bytes": pair.rgb, "path": None},
                DEPTH: {"bytes": depth, "path": None},
                FACTS: json.dumps(pair.facts()),
                "observation.stamp_ns": pair.stamp_ns,
                "timestamp": frame / rate,
                "frame_index": frame,
                "episode_index": len(episodes) - 1,
                "index": first + at,
                "task_index": 0,
            }
        )
        small = np.asarray(cv2.imdecode(np.frombuffer(pair.rgb, np.uint8), cv2.IMREAD_REDUCED_COLOR_8))
        episode.seen[RGB].append(small[..., ::-1].reshape(-1, 3) / 255)
        episode.seen[DEPTH].append(np.repeat(pair.depth_mm[::8, ::8].reshape(-1, 1) / 65535, 3, axis=1))
    episode.writer.write_table(pyarrow.Table.from_pylist(rows, schema=_schema()))
    episode.length += len(group)


def _write_meta(
    directory: Path, reader: PairReader, episodes: list[_Episode], sizes: tuple[tuple[int, ...], ...], rate: int
) -> None:
    names = ["height", "width", "channel"]
    pictures = {RGB: [*sizes[0], 3], DEPTH: [*sizes[1], 1]}
    features: dict[str, Any] = {
        key: {"dtype": "image", "shape": shape, "names": names} for key, shape in pictures.items()
    }
    features |= {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in COLUMNS.items()}
    info = {
        "codebase_version": "v2.1",
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": sum(episode.length for episode in episodes),
        "total_tasks": 1,
        "total_videos": 0,
        "total_chunks": -(-len(episodes) // CHUNK),
        "chunks_size": CHUNK,
        "fps": rate,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None,
        "features": features,
        **description(reader, "lerobot"),
    }
    (directory / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    numbered = list(enumerate(episodes))
    _lines(directory / "meta/tasks.jsonl", [{"task_index": 0, "task": TASK}])
    _lines(
        directory / "meta/episodes.jsonl",
        [{"episode_index": at, "tasks": [TASK], "length": episode.length} for at, episode in numbered],
    )
    _lines(
        directory / "meta/episodes_stats.jsonl",
        [{"episode_index": at, "stats": _statistics(episode)} for at, episode in numbered],
    )


def _statistics(episode: _Episode) -> dict[str, Any]:
    """Of the pictures, a number a channel in the format's shape (3, 1, 1); depth as a share of 65535 mm."""
    found: dict[str, Any] = {}
    for key, parts in episode.seen.items():
        pixels = np.concatenate(parts)
        values = {name: getattr(pixels, name)(axis=0) for name in ("min", "max", "mean", "std")}
        found[key] = {name: value.reshape(3, 1, 1).tolist() for name, value in values.items()}
        found[key]["count"] = [episode.length]
    return found


def _lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def fits(source: Path) -> bool:
    """Whether ``source`` is such an export."""
    file = source / INFO
    return file.is_file() and f'"{FORMAT_KEY}": "lerobot"' in file.read_text(encoding="utf-8", errors="replace")


def collect(source: Path, split: str | None = None) -> Collection:
    """The pairs with their own stamps.

    Raises:
        UserError: pyarrow is missing, a file is damaged, or a split is asked for.
    """
    if split is not None:
        raise UserError(f"--split {split}: an export has no splits; leave --split out")
    samples: list[Sample] = []
    reader = parquet()
    for file in sorted(source.glob("data/*/*.parquet")):
        try:
            samples += _samples(reader, file)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{file} is damaged ({error}): copy or export it again") from error
    return Collection(samples)


def _samples(reader: Any, file: Path) -> Iterator[Sample]:
    for row, text in enumerate(reader.read_table(file, columns=[FACTS]).column(0).to_pylist()):
        facts = json.loads(text)
        yield sample_of(facts, partial(_read, file, row, facts["rgb_format"]))


def _read(file: Path, row: int, rgb_format: str) -> Pixels:
    pictures = _row_group(file, row // GROUP)[row % GROUP]
    return pixels_of(pictures[RGB]["bytes"], rgb_format, pictures[DEPTH]["bytes"], str(file))


@lru_cache(maxsize=1)
def _row_group(file: Path, number: int) -> list[dict[str, Any]]:
    with parquet().ParquetFile(file) as opened:
        return list(opened.read_row_group(number, columns=[RGB, DEPTH]).to_pylist())
