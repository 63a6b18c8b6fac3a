"""Make the ready-made files of ``edgevl demo --quick`` anew: its student and its two drives, in quick/.

python benchmarks/quick_files.py DEMO_OUT [--out DIR]

DEMO_OUT is what `edgevl demo` has made: a student much smaller than the demo's is adapted from its drives and its
teacher by its recipe, some minutes on two cores. The drives go through one home of the split "test", which neither has
seen, on its second day, lit and in the dark: small JPEGs, depth as 16-bit PNG, pose, map and truth. Bundle and drives
must stay below 1 MB each.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from edgevl_cli.demo.quick import BUNDLE, DAY, DRIVES, HOME, SEED, SPLIT
from edgevl_core.base.resources import resource
from edgevl_core.base.sizes import size
from edgevl_core.camera.images import encode_jpeg
from edgevl_core.pairlog.compressing import DEPTH_SUFFIX, RGB_SUFFIX, compress_depth_msg
from edgevl_core.pairlog.decoded import decoded_depth, decoded_rgb
from edgevl_core.pairlog.reader import BagReader, Message
from edgevl_core.pairlog.scaling import scale_depth_msg, scale_info_msg, scale_rgb
from edgevl_core.pairlog.types import CAMERA_INFO, COMPRESSED_IMAGE, compressed_image_msg, deserialize, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_sim import write_bag

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 1_000_000
# A tenth of the parameters of the demo's own student.
STUDENT = (
    "student.backbone={output_stride: 16, channels: [16, 24, 40, 64], stem_width: 16}",
    "seed=0",
)
FRAMES_PER_ROOM, HZ = 5, 0.5
RGB_SCALE, DEPTH_SCALE, JPEG_QUALITY = 0.5, 0.25, 80  # of 320x240: 160x120 and 80x60
RGB, DEPTH, INFO = "camera/rgb/image_raw", "camera/depth/image_raw", "camera/rgb/camera_info"
DEPTH_INFO = "camera/depth/camera_info"


def make_bundle(demo: Path, work: Path, bundle: Path) -> None:
    """Adapt the small student, and keep its bundle. The bags are named without their place."""
    adapt = [sys.executable, "-m", "edgevl_cli.main", "adapt", "bags/train", "bags/logged", "--out", str(work / "run")]
    adapt += ["--teacher", "open_clip:@teacher", "--labels", str(resource("config/labels/home.yaml"))]
    adapt += ["--recipe", str(resource("config/train/demo.yaml"))]
    adapt += [word for setting in STUDENT for word in ("--set", setting)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    subprocess.run(adapt, cwd=demo, env={**os.environ, "PYTHONPATH": path}, check=True)
    shutil.copytree(work / "run/bundle", bundle)


def make_drive(work: Path, name: str, bag: Path) -> None:
    """One drive through the home, its pictures small."""
    lights = {"lit": "on", "dark": "off"}[name]
    drive: dict[str, Any] = {"drive": DAY, "frames_per_room": FRAMES_PER_ROOM, "hz": HZ, "lights": lights}
    write_bag(work / name, seed=SEED, split=SPLIT, first_home=HOME, homes=1, **drive)
    with BagReader(work / name) as reader, BagWriter(bag) as writer:
        for message in reader.messages():
            for topic, msgtype, data in small(message):
                writer.add_topic(topic, msgtype)
                writer.write(topic, data, message.stamp_ns)


def small(message: Message) -> Iterator[tuple[str, str, bytes]]:
    """Topic, type and bytes of what becomes of a message."""
    if message.topic == RGB:
        image = decoded_rgb(deserialize(message.data, message.msgtype))
        data = encode_jpeg(scale_rgb(image.pixels, RGB_SCALE), JPEG_QUALITY)
        made = compressed_image_msg(data, "rgb8; jpeg compressed bgr8", *image.header)
        yield RGB + RGB_SUFFIX, COMPRESSED_IMAGE, serialize(made)
    elif message.topic == DEPTH:
        image = decoded_depth(deserialize(message.data, message.msgtype))
        made = compress_depth_msg(scale_depth_msg(image, DEPTH_SCALE)).message
        yield DEPTH + DEPTH_SUFFIX, COMPRESSED_IMAGE, serialize(made)
    elif message.topic == INFO:
        info = deserialize(message.data, message.msgtype)
        for topic, scale in ((INFO, RGB_SCALE), (DEPTH_INFO, DEPTH_SCALE)):
            yield topic, CAMERA_INFO, serialize(scale_info_msg(info, scale))
    else:
        yield message.topic, message.msgtype, message.data


def main() -> int:
    """Exit code 1 where a part became too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", metavar="DEMO_OUT", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT, help="where quick/ lies (default: this repository)")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out / "quick", ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for drive, place in DRIVES.items():
            (arguments.out / place).parent.mkdir(parents=True, exist_ok=True)
            make_drive(work, drive, arguments.out / place)
        make_bundle(arguments.demo, work, arguments.out / BUNDLE)
    bags = [arguments.out / place for place in DRIVES.values()]
    bytes_of = {"bundle": [arguments.out / BUNDLE], "drives": bags}
    sizes = {
        part: sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        for part, folders in bytes_of.items()
    }
    print(", ".join(f"{part} {size(found)}" for part, found in sizes.items()))
    return int(max(sizes.values()) > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
