"""A student as a torch.fx graph, BatchNorm folded into its convolutions: what is quantised and exported."""

import copy

import torch
from timm.layers import get_notrace_modules
from timm.utils.model import reparameterize_model
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edgevl_core.base.errors import UserError
from edgevl_train.student.network import Student
from edgevl_train.student.pixels import PixelNormalise
from edgevl_train.student.undecayed import undecayed

_LEAVES = (
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm),
    PixelNormalise,
    *get_notrace_modules(),  # timm's own list of what cannot be traced
)


class _Tracer(fx.Tracer):
    """Keeps whole what quantisation looks for; timm subclasses many of these layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)


def fuse(student: Student) -> fx.GraphModule:
    """Traced copy in eval mode with re-parameterised branches merged and BatchNorm folded.

    Drop-out and stochastic depth are gone from the copy, also in train mode: it is meant for
    quantisation-aware fine-tuning and for export. ``student`` is left as it is.

    Returns:
        GraphModule: (N, 3, S, S) uint8 or float 0..255 -> (N, D) float32, L2-normalised.

    Raises:
        UserError: the backbone's Python code cannot be traced.
    """
    network: nn.Module = copy.deepcopy(student).eval()
    network = network if student.merged else reparameterize_model(network)
    tracer = _Tracer()
    try:
        graph = tracer.trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UserError(
            f"student {student.name!r} cannot be quantised, its code is not traceable: {error}; take another"
        ) from error
    module = fx.GraphModule(tracer.root, graph, class_name="FusedStudent")
    module.meta["no_weight_decay"] = undecayed(network)  # the backbone's own method does not survive the tracing
    _fold_batch_norm(module)
    return without_identities(module).eval()


def _fold_batch_norm(module: fx.GraphModule) -> None:
    modules = dict(module.named_modules())
    for node in module.graph.nodes:
        norm = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        source = node.args[0]
        layer = modules.get(source.target) if source.op == "call_module" else None
        if len(source.users) != 1 or not isinstance(layer, nn.Conv2d | nn.Linear):
            continue  # a BatchNorm before its convolution stays as it is, in float
        with torch.no_grad():
            folded = (
                fuse_conv_bn_eval(layer, norm) if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval(layer, norm)
            )
        # torch freezes the bias that it makes for a convolution without one; stage 2 is to train it.
        _replace(module, source.target, folded.requires_grad_(True))
        # timm's BatchNormAct2d carries its activation inside.
        rest = getattr(norm, "act", None)
        _replace(module, node.target, rest if rest is not None else nn.Identity())
        modules.update(module.named_modules())


def without_identities(module: fx.GraphModule) -> fx.GraphModule:
    """The graph without what hands its input on, changed in place."""
    modules = dict(module.named_modules())
    for node in list(module.graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], nn.Identity | nn.Dropout | nn.Dropout2d):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _replace(module: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, new)
