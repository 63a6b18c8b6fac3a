"""Images that name what they show: frames of bags with truth, photos in folders, photos with captions."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import atomic_write, writing
from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.labels import Label, LabelSet, fill_template, normalise_word
from edgevl_core.camera.photo import read_photo
from edgevl_core.pairlog.pairs import PairReader, PairSettings
from edgevl_core.pairlog.readable import check_share
from edgevl_train.data.photos import is_bag, photo_files
from edgevl_train.evaluation.metrics.summary import MIN_FURNITURE
from edgevl_train.training.context import OnProgress

COLUMNS = ("image", "caption")
TEMPLATES = (
    "{}",
    "a photo of {a} {}",
    "a photo of the {}",
    "a picture of {a} {}",
    "a robot's view of the {}",
    "this is {a} {}",
    "the inside of {a} {}",
    "{a} {} in a home",
)


@dataclass(frozen=True)
class Captioned:
    """N images with captions.

    Attributes:
        rgb: (N, C, C, 3) uint8, each squashed to a square.
        caption: (N,) int64, row of ``names`` and ``texts``.
        place: (N,) int64; images of one place, such as a home, are all for training or all for validation.
        names: what is captioned: labels, or captions as they were given.
        texts: for each name the sentences that say it.
        skipped: images without a caption.
        unreadable: one line for each image that could not be read.
        losses: what the readers of the bags have lost.
    """

    rgb: NDArray[np.uint8]
    caption: NDArray[np.int64]
    place: NDArray[np.int64]
    names: list[str]
    texts: list[list[str]]
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


class Item(NamedTuple):
    """One image to be read, its caption, whether that is a word to put into sentences, and its place."""

    read: Callable[[], NDArray[np.uint8]]
    caption: str
    is_word: bool
    place: str


class Source(NamedTuple):
    """``items`` are read one after the other; None is an image without a caption. ``total``: how many come.

    ``losses``: of a bag; complete when the items have ended.
    """

    items: Iterator[Item | None]
    total: int
    losses: Sequence[str] = ()


def open_source(path: Path, labels: LabelSet | None, settings: PairSettings) -> Source:
    """Find out what ``path`` is: a CSV file ``image,caption``, a folder with one folder a label, or a bag.

    Args:
        settings: what is taken from a bag.

    Raises:
        UserError: none of these, nothing in it, or a folder whose name is no word of ``labels``.
    """
    if path.suffix.lower() == ".csv":
        items = _captions_file(path)
    elif is_bag(path):
        pairs = settings.read(path)
        return Source(_frames(pairs, labels), pairs.expected, pairs.losses)
    else:
        items = _photos(path, labels)
    return Source(iter(items), len(items))


def read_captioned(
    paths: Sequence[Path],
    size_px: int,
    store: Path,
    labels: LabelSet | None = None,
    on_progress: OnProgress = lambda *_: None,
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
) -> Captioned:
    """Read everything once into ``store``/images.u8 (N, C, C, 3) uint8 with ``store``/captions.json beside it.

    Args:
        paths: see :func:`open_source`; kinds may be mixed.
        size_px: C.
        store: existing directory; what an earlier call has finished there is opened again, not made anew.
        labels: what a folder, a room or a caption that is one of its words is called, and the sentences for it.
        settings: what is taken from bags.

    Raises:
        UserError: fewer than two captions or two places, more than 5 % of the images cannot be read, or a bag has no
            pairs.
    """
    if not (store / "captions.json").exists():
        _gather(paths, size_px, store, labels, on_progress, settings)
    kept = json.loads((store / "captions.json").read_text(encoding="utf-8"))
    shape = (len(kept["caption"]), size_px, size_px, 3)
    rgb = np.memmap(store / "images.u8", np.uint8, "r", shape=shape)
    caption, place = (np.array(kept.pop(name), np.int64) for name in ("caption", "place"))
    return Captioned(rgb, caption, place, **kept)


def _gather(
    paths: Sequence[Path],
    size_px: int,
    store: Path,
    labels: LabelSet | None,
    on_progress: OnProgress,
    settings: PairSettings,
) -> None:
    sources = [open_source(path, labels, settings) for path in paths]
    total, done, skipped = sum(source.total for source in sources), 0, 0
    words = _by_word(labels)
    found: dict[str, tuple[int, str, list[str]]] = {}  # by the word however it is spelled: row, name, sentences
    places: dict[str, int] = {}
    caption: list[int] = []
    place: list[int] = []
    unreadable: list[str] = []
    file = store / "images.u8"
    with writing(file), file.open("wb") as stream:
        for source in sources:
            for item in source.items:
                done += 1
                on_progress(min(done, total), total, f"{len(caption)} captioned images")
                if item is None:
                    skipped += 1
                    continue
                try:
                    image = item.read()
                except (OSError, ValueError, cv2.error) as error:
                    unreadable.append(one_line(str(error)))
                    continue
                stream.write(cv2.resize(image, (size_px, size_px), interpolation=_kernel(image, size_px)).tobytes())
                label = words.get(normalise_word(item.caption))
                name = label.name if label else item.caption
                texts = _sentences(label, labels) if label else _texts(item)
                caption.append(found.setdefault(normalise_word(name), (len(found), name, texts))[0])
                place.append(places.setdefault(item.place, len(places)))
    names = [name for _, name, _ in found.values()]
    _check_enough(paths, names, len(places), len(caption), unreadable)
    content = {
        "caption": caption,
        "place": place,
        "names": names,
        "texts": [texts for *_, texts in found.values()],
        "skipped": skipped,
        "unreadable": unreadable,
        "losses": [f"{path}: {loss}" for path, source in zip(paths, sources, strict=True) for loss in source.losses],
    }
    atomic_write(store / "captions.json", json.dumps(content).encode())


def _check_enough(
    paths: Sequence[Path], found: Sequence[str], places: int, images: int, unreadable: Sequence[str]
) -> None:
    check_share(unreadable, images + len(unreadable), "images")
    if len(found) < 2 or places < 2:
        raise UserError(
            f"{', '.join(map(str, paths))}: {images} images of {len(found)} label(s) "
            f"({', '.join(found) or 'none'}) in {places} place(s): at least 2 labels and 2 places (homes, or "
            "photos) are needed; bags need the topic truth, as `edgevl sim` and `edgevl import` write it; photos a "
            "folder for each label"
        )


def _frames(pairs: PairReader, labels: LabelSet | None) -> Iterator[Item | None]:
    """RGB of a bag whose truth names a room that ``labels`` has a word for; depth is never looked at.

    Raises:
        UserError: the bag has no pairs.
    """
    words = _by_word(labels)
    found = False
    for pair in pairs.recorded():
        found = True
        truth = pair.truth
        named = truth is not None and truth.room and truth.furniture_fraction >= MIN_FURNITURE
        if truth is None or not named or (labels is not None and normalise_word(truth.room) not in words):
            yield None
        else:
            yield Item(pair.decode_rgb, truth.room, True, truth.home or str(pairs.path))
    if not found:
        raise pairs.no_pairs()


def _photos(path: Path, labels: LabelSet | None) -> list[Item]:
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and any(photo_files(folder))]
    if not folders:
        raise UserError(f"photos {path}: its pictures lie in no folders: one folder for each label is needed")
    words = _by_word(labels)
    if labels and (without := [folder.name for folder in folders if normalise_word(folder.name) not in words]):
        raise UserError(
            f"photos {path}: the labels file has no word for the folder(s) {', '.join(without)}; it knows "
            f"{', '.join(labels.names)}: add a label or a synonym, or rename the folder"
        )
    return [
        Item(partial(read_photo, file), " ".join(folder.name.replace("_", " ").split()), True, str(file))
        for folder in folders
        for file in photo_files(folder)
    ]


def _captions_file(path: Path) -> list[Item]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
                has = ", ".join(reader.fieldnames or []) or "none"
                raise UserError(
                    f"{path} has no column {', '.join(missing)} (it has {has}): the first line "
                    f"must name {', '.join(COLUMNS)}"
                )
            rows = []
            for row in reader:
                if surplus := row.get(None):  # type: ignore[call-overload]  # where DictReader puts what is too much
                    raise UserError(
                        f"{path} line {reader.line_num}: {len(surplus)} more fields than columns: quote a caption that "
                        "has a comma in it"
                    )
                rows.append((row["image"] or "", " ".join((row["caption"] or "").split())))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"captions {path} cannot be read ({error}): a CSV text file in UTF-8 is needed") from error
    for line, (image, caption) in enumerate(rows, start=2):
        if not image or not caption:
            raise UserError(f"{path} line {line}: image {image!r}, caption {caption!r}: both are needed")
    return [
        Item(partial(read_photo, path.parent / image), caption, False, str(path.parent / image))
        for image, caption in rows
    ]


def _kernel(image: NDArray[np.uint8], size_px: int) -> int:
    return cv2.INTER_AREA if min(image.shape[:2]) > size_px else cv2.INTER_LINEAR


def _by_word(labels: LabelSet | None) -> dict[str, Label]:
    if labels is None:
        return {}
    return {normalise_word(word): label for label in labels.labels for word in (label.name, *label.synonyms)}


def _sentences(label: Label, labels: LabelSet | None) -> list[str]:
    """A label's words and synonyms in every template, then its prompts; each once."""
    templates = dict.fromkeys((*TEMPLATES, *(labels.templates if labels else ())))
    words = (*(label.words or (label.name,)), *label.synonyms)
    return list(dict.fromkeys([fill_template(t, word) for word in words for t in templates] + list(label.prompts)))


def _texts(item: Item) -> list[str]:
    return [fill_template(template, item.caption) for template in TEMPLATES] if item.is_word else [item.caption]
