"""Write docs/licences.md: the licence of all that edgevl depends on, as its own metadata or package.xml says.

``python -m edgevl_build.licences``, in each environment that a lock was installed in (see CONTRIBUTING.md): what is
not installed there keeps the line that it had, what is in no lock any more goes.
"""

import re
import sys
from importlib.metadata import Distribution, distributions
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import tomllib

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "licences.md"
# From the project's own LICENSE file: the wheel has neither metadata nor package.xml, or is in no lock (transformers).
UNSAID = dict.fromkeys(("ros-fastcdr", "ros-fastdds", "ros-fastrtps", "transformers"), "Apache-2.0")
_LINE = re.compile(r"\| ([a-z0-9-]+) \| ([^|]+) \|")

HEAD = """# Licences of what edgevl depends on

edgevl itself is Apache-2.0 (`LICENSE`). None of this is in its repository: pip, apt or colcon install it. Each licence
is what the distribution's own metadata says (of ROS packages, their package.xml), in its words; libraries inside a
wheel may have further ones, which lie in the wheel. Written by `edgevl_build/licences.py`; a test fails where
something in `locks/` or `pyproject.toml` has no line here.

| distribution | licence |
|---|---|
"""


def normalised(name: str) -> str:
    """As pip compares names and as the locks have them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> set[str]:
    """The names in all locks, and in pyproject.toml with its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = chain(project["dependencies"], *project["optional-dependencies"].values())
    ranges = {normalised(re.split(r"[^\w.-]", text)[0]) for text in named}
    lines = [line for lock in (ROOT / "locks").glob("*.txt") for line in lock.read_text(encoding="utf-8").splitlines()]
    return ranges | {line.split("==")[0] for line in lines if line and not line.startswith("#")}


def listed(document: Path = DOCUMENT) -> dict[str, str]:
    """{name: licence} of the document."""
    text = document.read_text(encoding="utf-8") if document.is_file() else ""
    return {name: words.strip() for name, words in _LINE.findall(text) if name != "distribution"}


def licence(distribution: Distribution) -> str:
    """In the distribution's own words, one line; empty where it says nothing."""
    metadata = distribution.metadata
    name = normalised(metadata["Name"])
    classifiers = [text.split(" :: ") for text in metadata.get_all("Classifier", []) if text.startswith("License ::")]
    named = [parts[-1] for parts in classifiers if parts[-1] not in ("OSI Approved", "DFSG approved")]
    words = metadata.get("License-Expression") or "; ".join(named) or metadata.get("License", "").strip()
    words = words or _of_ros_package(name)
    return " ".join(words.split()).replace("|", "/") if len(words) < 300 else ""


def _of_ros_package(name: str) -> str:
    package = re.sub(r"^ros-(jazzy-|kilted-)?", "", name).replace("-", "_")
    file = Path(sys.prefix) / "share" / package / "package.xml"
    if not name.startswith("ros-") or not file.is_file():
        return ""
    return "; ".join(element.text or "" for element in ElementTree.parse(file).findall("license"))


def main() -> None:
    """Write the document. Exit 1, naming them, where distributions say nothing."""
    names = needed()
    here = {normalised(each.metadata["Name"]): licence(each) for each in distributions()}
    found = listed() | {name: words for name, words in here.items() if words}
    kept = {name: found.get(name) or UNSAID.get(name, "") for name in sorted(names)}
    lines = [f"| {name} | {words} |\n" for name, words in kept.items() if words]
    DOCUMENT.write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"{DOCUMENT}: {len(lines)} of {len(names)} distributions")
    if missing := [name for name, words in kept.items() if not words]:
        sys.exit(f"no licence known: {', '.join(missing)}: install them here, or add them to UNSAID in {__file__}")


if __name__ == "__main__":
    main()
