"""Parameters that weight decay would harm."""

from torch import nn


def undecayed(model: nn.Module) -> list[str]:
    """Names of the parameters that a backbone exempts from weight decay by timm's ``no_weight_decay``.

    Class tokens, position embeddings, tables of relative positions: a pull towards zero takes away what they say, as
    the papers of ViT and Swin have it. A traced copy of a student has them in its ``meta``.
    """
    found = []
    for prefix, module in model.named_modules():
        own = getattr(module, "no_weight_decay", None)
        names = own() if callable(own) else getattr(module, "meta", {}).get("no_weight_decay", ())
        found += [f"{prefix}.{name}" if prefix else name for name in names]
    return sorted(found)
