"""A cut student for tests: the small int8 one that comes with the package, cut in the middle."""

import json
from pathlib import Path

from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.manifest import manifest_id
from edgevl_train.split.cut import find_cuts, load_network
from edgevl_train.split.write import write_split
from tests.paths import ROOT

BUNDLE = ROOT / "quick/bundle"


def write_cut(out: Path, after: int = 9) -> Path:
    """What `edgevl split quick/bundle --at 9 --out OUT` writes; its tensor is 24 x 8 x 8 uint8."""
    student = BUNDLE / "student.onnx"
    (cut,) = (cut for cut in find_cuts(load_network(student)) if cut.after == after)
    write_split(student, cut, out)
    return out


def reseal(cut: Path, **changes: object) -> None:
    """Make the manifest agree with the files as they are, as whoever forges one would."""
    content = json.loads((cut / "manifest.json").read_text()) | changes
    if "files" not in changes:
        content["files"] = {name: sha256_file(cut / name) for name in content["files"]}
    content["split_id"] = manifest_id({key: value for key, value in content.items() if key != "split_id"})
    (cut / "manifest.json").write_text(json.dumps(content))
