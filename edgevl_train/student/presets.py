"""Students by name: the image size and head each is meant to be used with, and what it is for.

Times are one thread of an x86 processor with AVX512-VNNI, batch 1, ONNX Runtime: float -> best int8.
"""

from dataclasses import dataclass
from typing import Literal

Head = Literal["linear", "mlp"]


@dataclass(frozen=True)
class Preset:
    """What a recipe that names the student and nothing else gets.

    Attributes:
        size_px: side of the square network input.
        head: projection to the teacher's dimension, see :func:`edgevl_train.student.network.build_student`.
    """

    size_px: int
    head: Head


DEFAULT = "mobilenetv4_conv_medium"
PRESETS = {
    # The smallest and fastest; 2.5 M parameters, 2.0 -> 1.1 ms.
    "mobilenetv4_conv_small": Preset(224, "linear"),
    # The default; 8.4 M, 8.4 -> 3.4 ms; loses most by PTQ.
    "mobilenetv4_conv_medium": Preset(224, "linear"),
    # Plain convolutions; 11 M, 17 -> 5.1 ms, the largest gain; PTQ loses nothing.
    "resnet18": Preset(224, "linear"),
    # EdgeVL's ViT-S; 22 M, 49 -> 22 ms; attention products stay float.
    "vit_small_patch16_224": Preset(224, "linear"),
    # EdgeVL's Swin-T; 28 M, 60 -> 31 ms; as ViT-S.
    "swin_tiny_patch4_window7_224": Preset(224, "linear"),
    # EdgeVL's best, DAT-T; 28 M; as Swin-T, and sampling (GridSample) stays float.
    "dat_tiny": Preset(224, "linear"),
    # Clip4Retrofit's; 11 M, 29 -> 30 ms: int8 makes it smaller, not faster. Its squeeze-and-excitation gates and SiLU
    # stay float between the integer convolutions.
    "efficientnet_b3": Preset(300, "mlp"),
}
