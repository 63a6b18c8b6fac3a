"""Label files (config/labels/*.yaml): the words a scene may be called, and sentences that describe them."""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.resources import resource
from edgevl_core.base.yaml_text import load_yaml
from edgevl_core.bundle.manifest import plain_text

DEFAULT_TEMPLATES = ("a photo of {a} {}",)
_VOWELS = "aeiou"
# White space as single spaces: a YAML block ends in a line break, which neither bank nor manifest takes.
Words = Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]


class Label(BaseModel):
    """One word of the label set.

    Attributes:
        name: what is published, for example "living room".
        words: what the templates say in its place, where a name is no plain speech ("copy/mail room").
        prompts: whole sentences that describe it, used beside the templates.
        synonyms: other words a user may say for it; they are not encoded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Words = Field(min_length=1)
    words: tuple[Words, ...] = ()
    prompts: tuple[Words, ...] = ()
    synonyms: tuple[Words, ...] = ()


class LabelSet(BaseModel):
    """A label file.

    Attributes:
        templates: sentences in which ``{}`` becomes the label's name and ``{a}`` its article, "a" or "an".
        labels: at least one, without duplicates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    templates: tuple[Words, ...] = DEFAULT_TEMPLATES
    labels: tuple[Label, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names, in file order."""
        return tuple(label.name for label in self.labels)

    def texts(self, label: Label) -> list[str]:
        """What the text tower encodes for a label: every template filled in, then its own prompts."""
        words = label.words or (label.name,)
        return [fill_template(template, word) for word in words for template in self.templates] + list(label.prompts)


def fill_template(template: str, name: str) -> str:
    """``{}`` becomes ``name``, ``{a}`` its article: ("{a} {}", "office") -> "an office"."""
    article = "an" if name[:1].casefold() in _VOWELS else "a"
    return template.replace("{a}", article).replace("{}", name)


def normalise_word(word: str) -> str:
    """The form in which two words are compared: case-folded, white space and underscores as one space.

    Accents count, but not how they are encoded ("é" is one character or two).
    """
    return " ".join(unicodedata.normalize("NFC", word.replace("_", " ").casefold()).split())


def label_file(path: Path | str) -> Path:
    """``path``, or the shipped ``config/labels/<name>.yaml`` where it is a bare name such as "home".

    A directory of that name, a bag perhaps, does not hide the shipped file.

    Raises:
        UserError: no file of that name is shipped.
    """
    path = Path(path)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        return path
    folder = resource("config/labels")
    if not (shipped := folder / f"{path}.yaml").is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"labels {str(path)!r}: no set of this name is shipped; there are {names}; or pass a YAML file")
    return shipped


def load_labels(path: Path | str) -> LabelSet:
    """Read and check a label file, or the shipped one of a bare name; white space becomes single spaces.

    Raises:
        UserError: no such file, not YAML, unknown keys, no labels, a template without ``{}``, a text that is blank or
            that no bundle takes (:func:`edgevl_core.bundle.manifest.plain_text`), or a name or synonym that occurs
            twice (compared by :func:`normalise_word`).
    """
    path = label_file(path)
    if not path.is_file():
        raise UserError(
            f"labels file {path}: no such file; pass a YAML file with 'labels', see config/labels/home.yaml"
        )
    try:
        content: Any = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"labels file {path} is not YAML: {error}; correct it") from error
    if not isinstance(content, dict) or not content.get("labels"):
        raise UserError(f"labels file {path} has no labels: a list 'labels' with at least one name is needed")
    if isinstance(content["labels"], list):
        content["labels"] = [item if isinstance(item, dict) else {"name": item} for item in content["labels"]]
    try:
        label_set = LabelSet.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, item['loc']))}: {_fault(item)}" for item in error.errors())
        raise UserError(f"labels file {path}: {faults}; see config/labels/home.yaml for the format") from error
    _check(label_set, path)
    return label_set


def _fault(item: Mapping[str, Any]) -> str:
    """Of pydantic's: also that YAML takes a bare ``yes`` for a truth value, and ``1`` for a number."""
    value = item["input"]
    if item["type"] != "string_type" or isinstance(value, (list, dict)):
        return str(item["msg"])
    bare = {"True": " (yes, on or true without quotes)", "False": " (no, off or false without quotes)"}
    return f"{value!r} is no word{bare.get(repr(value), '')}: quote it"


def _check(label_set: LabelSet, path: Path) -> None:
    without = [template for template in label_set.templates if "{}" not in template]
    if without or not label_set.templates:
        raise UserError(f"labels file {path}: templates {without} have no '{{}}' for the label's name; add it")
    for label in label_set.labels:
        if not normalise_word(label.name):
            raise UserError(f"labels file {path}: a label's name is blank; give it a name")
        if not all(map(normalise_word, (*label.words, *label.prompts, *label.synonyms))):
            raise UserError(
                f"labels file {path}: among words, prompts and synonyms of {one_line(label.name, 40)!r} one is blank; "
                "leave it out"
            )
    texts = (text for label in label_set.labels for text in (label.name, *label.synonyms, *label_set.texts(label)))
    for text in (*label_set.templates, *texts):  # what will stand in the bundle
        try:
            plain_text(text)
        except ValueError as error:
            raise UserError(f"labels file {path}: {one_line(text, 80)!r}: {error}; correct it") from error
    words = (word for label in label_set.labels for word in (label.name, *label.synonyms))
    if twice := repeated(words):
        raise UserError(
            f"labels file {path}: {', '.join(map(repr, twice))} occurs more than once among names and "
            "synonyms; every word may stand for one label only"
        )


def repeated(words: Iterable[str]) -> list[str]:
    """Those that occur more than once, compared by :func:`normalise_word`, in that form."""
    seen: set[str] = set()
    twice: list[str] = []
    for word in map(normalise_word, words):
        if word in seen and word not in twice:
            twice.append(word)
        seen.add(word)
    return twice
