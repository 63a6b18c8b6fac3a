"""Every (model, tag) pair that open_clip lists: what edgevl makes of it as a teacher. Needs no weights and no network.

python benchmarks/teachers.py [--write docs/teachers.md] [--build]

The table is the loader's own decision (edgevl_train/teacher/config.py, teacher_tokenizer.py); activations are read off
the model that it would fill, built without storage. --build: models of each kind that fit into 1 GB are really built,
with random weights, saved, loaded as open_clip:<name>/<tag>@<directory>, and compared with open_clip's own loading of
the same file on one image and one text.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.teacher.config import TeacherConfig, config_of_name, config_of_tag
from edgevl_train.teacher.loading import build_model, load_teacher, quiet_open_clip
from edgevl_train.teacher.tokenizer import SETTINGS, TOKENIZER, files_needed
from edgevl_train.teacher.weights import WEIGHTS_FILE

ACTIVATIONS = {"GELU", "GELUTanh", "QuickGELU", "SiLU", "ReLU", "Hardswish"}
TEXT = "a photo of a kitchen"
PIXELS = {
    (0.48145466, 0.26862954): "CLIP",
    (0.5, 0.5): "0.5, 0.5",
    (0.485, 0.229): "ImageNet",
    (0.0, 1.0): "0, 1",
}
BUILT = (
    "RN50/openai",
    "ViT-B-32/openai",
    "ViT-B-32/laion2b_s34b_b79k",
    "MobileCLIP2-S0/dfndr2b",
    "convnext_base/laion400m_s13b_b51k",
    "EVA02-B-16/merged2b_s8b_b131k",
    "ViT-B-16-SigLIP/webli",
)
HEAD = """# Teachers

Made by `python benchmarks/teachers.py --write docs/teachers.md --build` with open_clip_torch {version}: what
`edgevl adapt --teacher` makes of each of the {pairs} (model, tag) pairs that it lists. {clip} load with CLIP's own
tokenizer, {json} need a tokenizer.json, {transformers} need the library transformers
(`pip install transformers`). {quick} pairs want QuickGELU while their model's configuration says GELU; they
get QuickGELU, and the teacher is then named `<name>-quickgelu`.

| spec | what it takes |
|---|---|
| `open_clip:<name>/<tag>` | weights and tokenizer from open_clip's download cache or the network |
| `open_clip:<name>/<tag>@<file or directory>` | those weights in a file; a tokenizer, if needed, beside it |
| `open_clip:<name>@<file or directory>` | where *name alone* says yes; or a TorchScript archive, as OpenAI's |
| `open_clip:<config.json>@<file or directory>` | any other model: `{{"model_cfg": ..., "preprocess_cfg": ...}}` |

- **activation**: of image tower / text tower. Those of timm and transformers have their own.
- **pixels**: mean and standard deviation. **resize**: open_clip's; edgevl shows every teacher the whole frame squashed.
- **px** above 256: `--set cache.size_px=<px>`, or the teacher sees enlarged images; `edgevl adapt` says so.
- **beside the weights**: files of the tokenizer that the column before names; `config.json` is the text model's.
- **name alone**: whether `open_clip:<name>@<file>` is enough. Where weights of a name differ in activation or pixels,
  a file does not say which it has, and is refused with what to pass; the code in a TorchScript archive says it.

"""


def main() -> None:
    """Decide for every pair, build some, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="Markdown file")
    parser.add_argument("--build", action="store_true", help="build, save and load one model of each small kind")
    arguments = parser.parse_args()
    pairs = open_clip.list_pretrained()
    configs = [config_of_tag(f"open_clip:{name}/{tag}", name, tag) for name, tag in pairs]
    towers: dict[str, str] = {}
    rows = [_row(name, tag, config, towers) for (name, tag), config in zip(pairs, configs, strict=True)]
    kinds = [config.text_kind for config in configs]
    head = HEAD.format(
        version=open_clip.__version__,
        pairs=len(pairs),
        quick=sum(
            "-quickgelu/" in config.label and "-quickgelu" not in name for (name, _), config in zip(pairs, configs)
        ),
        **{kind: kinds.count(kind) for kind in ("clip", "json", "transformers")},
    )
    titles = ("name", "tag", "activation", "px", "pixels", "resize", "tokenizer", "beside the weights", "name alone")
    text = head + _markdown(titles, rows)
    if arguments.build:
        text += BUILT_HEAD + _markdown(("teacher", "GB", "image", "text"), [_built(pair) for pair in BUILT])
    if arguments.write:
        atomic_write(arguments.write, text.encode())
    else:
        Console().print(text, markup=False, highlight=False, soft_wrap=True)


BUILT_HEAD = """
## Really built

With random weights, loaded from a file; cosine to open_clip's own model of the same file, on one image and one text.
The text of `ViT-B-16-SigLIP` went through a made-up tokenizer.json.

"""


def _row(name: str, tag: str, config: TeacherConfig, towers: dict[str, str]) -> list[str]:
    key = config.label.split("/")[0]
    if key not in towers:
        towers[key] = _activations(config)
    seen = config.preprocess_cfg
    text = config.model_cfg["text_cfg"]
    return [
        name,
        tag,
        towers[key],
        str(config.model_cfg["vision_cfg"].get("image_size", 224)),
        PIXELS[seen["mean"][0], seen["std"][0]],
        f"{seen['interpolation']}, {seen['resize_mode']}",
        {"clip": "CLIP"}.get(config.text_kind, text.get("hf_tokenizer_name", "")),
        ", ".join(files_needed(config)) + ("; transformers" if config.text_kind == "transformers" else ""),
        _alone(name, config),
    ]


def _alone(name: str, config: TeacherConfig) -> str:
    """Whether open_clip:<name>@<file> is enough."""
    try:
        found = config_of_name(f"open_clip:{name}@FILE", name, "FILE")
    except UserError:
        return "no: the tag as well"
    if found.model_cfg != config.model_cfg:
        sys.exit(f"{config.label}: its name alone gives another model")
    return "yes"


def _activations(config: TeacherConfig) -> str:
    """Of the image tower and the text tower, as built; what transformers builds is its own."""
    text = ""
    if "hf_model_name" in config.model_cfg["text_cfg"]:
        small = {"context_length": 77, "vocab_size": 100, "width": 64, "heads": 1, "layers": 1}
        config = TeacherConfig(config.label, {**config.model_cfg, "text_cfg": small}, config.preprocess_cfg)
        text = "its own"
    with quiet_open_clip(), torch.device("meta"):
        model = build_model(config, device="meta")
    visual = set(model.visual.modules())
    return f"{_kinds(visual)} / {text or _kinds(set(model.modules()) - visual)}"


def _kinds(modules: set[nn.Module]) -> str:
    found = set()
    for module in modules:
        name = type(module).__name__
        if name in ACTIVATIONS:
            found.add(f"{name} tanh" if getattr(module, "approximate", "none") == "tanh" else name)
    return "+".join(sorted(found))


def _built(pair: str) -> list[str]:
    name, tag = pair.split("/")
    config, pretrained = config_of_tag(pair, name, tag), open_clip.get_pretrained_cfg(name, tag)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS_FILE
        with quiet_open_clip():
            torch.manual_seed(0)
            state = {key: value.contiguous().clone() for key, value in build_model(config).state_dict().items()}
        save_file(state, weights)
        del state
        if config.text_kind == "json":
            _write_tokenizer(weights.parent)
        teacher = load_teacher(f"open_clip:{pair}@{folder}")
        with quiet_open_clip():
            theirs, _, transform = open_clip.create_model_and_transforms(
                name,
                pretrained=str(weights),
                force_quick_gelu=pretrained.get("quick_gelu", False),
                image_mean=pretrained["mean"],
                image_std=pretrained["std"],
                image_interpolation=pretrained["interpolation"],
                image_resize_mode=pretrained["resize_mode"],
            )
        image = np.random.default_rng(0).integers(0, 256, (teacher.size_px, teacher.size_px, 3), dtype=np.uint8)
        tokenizer = teacher.tokenizer if config.text_kind == "json" else open_clip.get_tokenizer(name)
        with torch.inference_mode():
            theirs.eval()
            their_image = theirs.encode_image(transform(Image.fromarray(image))[None], normalize=True).numpy()
            their_text = theirs.encode_text(tokenizer([TEXT]), normalize=True).numpy()
        ours = teacher.encode_image([image], Preprocess(size_px=teacher.size_px))
        cosines = [float((a * b).sum()) for a, b in ((ours, their_image), (teacher.encode_text([TEXT]), their_text))]
        return [teacher.id, f"{weights.stat().st_size / 1e9:.2f}", *(f"{cosine:.6f}" for cosine in cosines)]


def _write_tokenizer(directory: Path) -> None:
    """A small one of SigLIP's kind: pieces, an end token, which pads as well."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator([TEXT, "the living room", "a bathroom"], trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.save(str(directory / TOKENIZER))
    settings = {"tokenizer_class": "T5Tokenizer", "pad_token": "</s>", "eos_token": "</s>"}
    (directory / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
