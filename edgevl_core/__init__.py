"""What robot and workstation share: images, depth, pairing, the pair log, the student bundle, the classifier.

The names in ``__all__`` are for programs of your own and promised to stay, see docs/python.md; each is loaded when it
is first asked for, so that the import itself costs nothing. Whatever else lies in here may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgevl_core.base.errors import UserError
    from edgevl_core.bundle.student_bundle import Bundle, load_bundle
    from edgevl_core.camera.images import encode_png
    from edgevl_core.camera.photo import read_photo
    from edgevl_core.classify.classifier import Classifier, Scene, UnknownLabels
    from edgevl_core.classify.smoothing import Smoother
    from edgevl_core.draw.overlay import contact_sheet, depth_picture, draw_scene
    from edgevl_core.pairlog.info import log_info
    from edgevl_core.pairlog.pairs import RgbdPair, read_pairs

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Classifier",
    "RgbdPair",
    "Scene",
    "Smoother",
    "UnknownLabels",
    "UserError",
    "contact_sheet",
    "depth_picture",
    "draw_scene",
    "encode_png",
    "load_bundle",
    "log_info",
    "read_pairs",
    "read_photo",
]

_MODULES = {
    "Bundle": "bundle.student_bundle",
    "Classifier": "classify.classifier",
    "RgbdPair": "pairlog.pairs",
    "Scene": "classify.classifier",
    "Smoother": "classify.smoothing",
    "UnknownLabels": "classify.classifier",
    "UserError": "base.errors",
    "contact_sheet": "draw.overlay",
    "depth_picture": "draw.overlay",
    "draw_scene": "draw.overlay",
    "encode_png": "camera.images",
    "load_bundle": "bundle.student_bundle",
    "log_info": "pairlog.info",
    "read_pairs": "pairlog.pairs",
    "read_photo": "camera.photo",
}


def __getattr__(name: str) -> Any:
    """A promised name, from the module that defines it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: promised are {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
