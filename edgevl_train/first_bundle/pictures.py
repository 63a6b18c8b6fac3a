"""Pictures to calibrate with: from files, folders and bags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.camera.images import ImageFormatError, decode_rgb
from edgevl_core.camera.photo import read_photo
from edgevl_core.pairlog.image_topics import image_topics
from edgevl_core.pairlog.readable import check_share
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import BrokenMessage, deserialize
from edgevl_train.data.photos import PHOTOS, is_bag, photo_files
from edgevl_train.data.run_data import spread

LEAST = 8  # fewer say nothing of what a camera sees


@dataclass(frozen=True)
class Looked:
    """What came of looking.

    Attributes:
        images: RGB, each (H, W, 3) uint8.
        used: those of the paths that they came from.
        unreadable: why, of each that was passed over.
    """

    images: list[NDArray[np.uint8]]
    used: list[Path]
    unreadable: list[str]


def read_pictures(paths: Sequence[Path], most: int) -> Looked:
    """At most ``most`` RGB pictures, evenly spread over all that ``paths`` hold.

    Args:
        paths: picture files, folders of them, bags (their RGB images; no depth is needed).

    Raises:
        UserError: one of them is missing, more than 5 % of the pictures or fewer than 8 can be read.
    """
    each = -(-most // max(len(paths), 1))
    unreadable: list[str] = []
    found = [(path, picture) for path in paths for picture in _pictures(path, each, unreadable)]
    given = f"--calibrate {', '.join(map(str, paths))}"
    check_share(unreadable, len(found) + len(unreadable), f"pictures of {given}")
    if len(found) < LEAST:
        raise UserError(
            f"{given}: {len(found)} pictures can be read, at least {LEAST} are "
            f"needed: name a folder of pictures ({', '.join(PHOTOS)}) or a bag, or leave --calibrate out"
        )
    kept = [found[row] for row in spread(np.arange(len(found)), most)]
    return Looked([picture for _, picture in kept], list(dict.fromkeys(path for path, _ in kept)), unreadable)


def _pictures(path: Path, most: int, unreadable: list[str]) -> list[NDArray[np.uint8]]:
    """Those that can be read; why the others cannot is added to ``unreadable``."""
    if not path.exists():
        raise UserError(f"--calibrate {path} does not exist: a picture, a folder of pictures or a bag is accepted")
    if path.suffix.lower() not in PHOTOS and is_bag(path):
        return _of_bag(path, most, unreadable)
    files = [path] if path.is_file() else list(photo_files(path))
    found = []
    for row in spread(np.arange(len(files)), most):
        try:
            found.append(read_photo(files[row]))
        except (OSError, ValueError, cv2.error) as error:
            unreadable.append(one_line(str(error)))
    return found


def _of_bag(path: Path, most: int, unreadable: list[str]) -> list[NDArray[np.uint8]]:
    with BagReader(path) as reader:
        topics = [topic for role in ("rgb", "grey") for topic in image_topics(reader) if topic.role == role]
        if not topics:
            raise UserError(f"--calibrate {path}: the bag has no RGB images; name a folder of pictures or another bag")
        wanted = set(spread(np.arange(reader.topics[topics[0].name].count), most).tolist())
        found = []
        for number, message in enumerate(reader.messages([topics[0].name])):
            if number not in wanted:
                continue
            try:
                found.append(decode_rgb(deserialize(message.data, message.msgtype)))
            except (BrokenMessage, ImageFormatError) as error:
                unreadable.append(f"{path} at {message.stamp_ns / 1e9:.3f} s: {error}")
    return found
