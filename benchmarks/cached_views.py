"""What an epoch of stage 1 costs with cached views, and with the teacher in the loop.

Random weights and random pixels: time does not depend on them. Prints one table; the variants take turns.
"""

import argparse
import time
from collections.abc import Callable

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from rich.console import Console
from rich.table import Table

from edgevl_train.losses import cosine_distance
from edgevl_train.student import build_student
from edgevl_train.teacher import quiet_open_clip

DIM = 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="mobilenetv4_conv_medium")
    parser.add_argument("--teachers", nargs="+", default=["ViT-B-32", "ViT-B-16"])
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16, help="pairs")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    batch, size = arguments.batch, arguments.size_px
    student = build_student(arguments.student, DIM, size_px=size).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4)
    pixels = torch.randint(0, 256, (2 * batch, 3, size, size)).float().contiguous(memory_format=torch.channels_last)
    cached = torch.nn.functional.normalize(torch.randn(batch, DIM), dim=-1)

    def step(target: torch.Tensor) -> None:
        rgb, depth = student(pixels).chunk(2)
        optimiser.zero_grad(set_to_none=True)
        (cosine_distance(rgb, target) + cosine_distance(depth, target)).backward()
        optimiser.step()

    def with_teacher(name: str) -> Callable[[], None]:
        with quiet_open_clip():
            model = open_clip.create_model(name, pretrained=None).eval().requires_grad_(False)
        images = torch.randn(batch, 3, 224, 224)

        def run() -> None:
            with torch.inference_mode():
                target = model.encode_image(images, normalize=True)
            step(target.clone())

        return run

    variants: dict[str, Callable[[], None]] = {}
    for name in arguments.teachers:
        # The same arrays whatever the teacher: two rows, so that the noise of the measurement shows.
        variants[f"cached views of {name}"] = lambda: step(cached)
        variants[f"{name} in the loop"] = with_teacher(name)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(arguments.rounds + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    table = Table(title=f"{arguments.student}, {size} px, {batch} pairs a step, {torch.get_num_threads()} threads")
    for column in ("", "ms a step, median", "quartiles", "pairs/s", "against the first"):
        table.add_column(column, justify="left" if not column else "right")
    first = float(np.median(next(iter(times.values()))))
    for name, seconds in times.items():
        low, middle, high = np.percentile(seconds, [25, 50, 75])
        spread = f"{low * 1e3:.0f} to {high * 1e3:.0f}"
        table.add_row(name, f"{middle * 1e3:.0f}", spread, f"{batch / middle:.1f}", f"{middle / first:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
