"""Lets torchvision, and so timm and open_clip, be imported beside a CPU-only torch.

torchvision's wheel is linked against CUDA; beside a CPU build of torch its operator library cannot be loaded,
and its Python part then fails at import with "operator torchvision::nms does not exist". None of the missing
operators is used here, so declaring their schemas is enough. Where torchvision works by itself nothing is
done.

Import this module before timm or open_clip.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _load_real_operators() -> None:
    """What torchvision itself does first; a library that cannot be linked leaves the operators undeclared."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return  # the CUDA-linked library beside a CPU torch: the case this module is for


def declare_missing_operators() -> "torch.library.Library | None":
    """Declare torchvision's schemas where the real operators cannot be loaded.

    Returns:
        The library that holds the declarations (they vanish with it), or None where nothing was missing.
    """
    if torch.version.cuda is not None:
        return None
    _load_real_operators()
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in missing:
        library.define(schema)
    return library


_declarations = declare_missing_operators()  # kept alive for as long as the process
