"""Pictures that no bag holds: files, and folders of them."""

from collections.abc import Iterator
from pathlib import Path

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def is_bag(path: Path) -> bool:
    """Whether ``path`` is neither a table of captions nor a folder of photos; a bag may lie beside pictures."""
    if not path.is_dir():
        return path.suffix.lower() != ".csv"
    files = {file.suffix for file in path.iterdir()}
    return (path / "metadata.yaml").is_file() or bool(files & {".mcap", ".db3", ".zstd"}) or not any(photo_files(path))


def photo_files(folder: Path) -> Iterator[Path]:
    """The picture files in a folder and the folders in it, in order; also links to none, which cannot be read."""
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in PHOTOS and not file.is_dir())
