"""Forward passes over trees that return the logits of plain decoding, bit for bit.

Attention runs node by node, see :mod:`dynatree.models.path_cache`. All other layers run over many tokens and must give
each the bits that a forward pass over it alone gives. Their kernels decide this. Before the first forward pass of each
width, one of this width is therefore compared with decoding token by token, and so are its linear layers, see
:mod:`dynatree.models.width_probe`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.forward import forward_logits
from dynatree.models.independence import module_signature
from dynatree.models.modes import mode_of
from dynatree.models.path_cache import Nodes, PathAttention, PathCache, Tree
from dynatree.models.transfer import input_device
from dynatree.models.width_probe import width_dependent_layer

MAX_WIDTH = 64  # tokens of a forward pass; larger trees are split
FIRST_WIDTHS = (1, 2, 32)  # checked before a request starts
PROMPT = 3  # tokens of the text that the check decodes
CHILDREN = 4  # different children of the root of its trees


@dataclass
class _Checks:
    """Widths of forward passes that were checked for one state of a model.

    Attributes:
        state: of the modules, the number format and the threads.
        logits: [1 + CHILDREN, vocabulary] of a root and its children, one token at a time as transformers does.
        widths: the widths whose tokens have the same bits.
    """

    state: int
    logits: torch.Tensor
    widths: set[int] = field(default_factory=set)


_checks: WeakKeyDictionary[PreTrainedModel, _Checks] = WeakKeyDictionary()


class StrictModel:
    """A target whose forward passes over trees return the logits of plain decoding, bit for bit.

    Args:
        model: the target, in evaluation mode.
        nodes: largest number of nodes of a tree, root included.

    Raises:
        DynatreeError: the model does not run on a CPU with the attention "sdpa", or a layer gives a token other bits in
            a wider forward pass.
    """

    def __init__(self, model: PreTrainedModel, nodes: int):
        self.model = model
        self._nodes = nodes
        self._checked = _find_checks(model)
        for width in FIRST_WIDTHS:
            if width <= nodes:
                self._check(width)

    def cache(self, capacity: int) -> PathCache:
        """Return a cache for ``capacity`` entries, the nodes of one tree included."""
        return PathCache(self.model.config.get_text_config().num_hidden_layers, capacity + self._nodes)

    def forward(self, trees: list[Tree]) -> list[torch.Tensor]:
        """Return the logits [nodes, vocabulary] of each tree, whose entries are appended to its cache."""
        orders = [tree.cache.place(tree.visible, len(tree.ids)) for tree in trees]
        ids = torch.cat([tree.ids[order] for tree, order in zip(trees, orders, strict=True)])
        positions = torch.cat([tree.positions[order] for tree, order in zip(trees, orders, strict=True)])
        parts = [Nodes(tree.cache, 0, len(tree.ids)) for tree in trees]
        logits = []
        for start in range(0, len(ids), MAX_WIDTH):
            chunk = slice(start, start + MAX_WIDTH)
            self._check(len(ids[chunk]))
            logits.append(_logits(self.model, ids[chunk], positions[chunk], _cut(parts, start)))
        rows = torch.cat(logits) if len(logits) > 1 else logits[0]
        by_tree = rows.split([len(tree.ids) for tree in trees])
        return [one[torch.tensor(order).argsort()] for one, order in zip(by_tree, orders, strict=True)]

    def _check(self, width: int) -> None:
        """Raise unless the tokens of a forward pass of this width have the bits of plain decoding."""
        checks = self._checked
        if width in checks.widths:
            return
        layer = width_dependent_layer(self.model, width)
        rows = [0, *(1 + child % CHILDREN for child in range(width - 1))]
        if layer is None and not _same(_decode_star(self.model, width), checks.logits[rows]):
            layer = _first_difference(self.model, width, rows)
        if layer is not None:
            raise DynatreeError(
                f"exact='strict' cannot hold: in {str(self.model.dtype).removeprefix('torch.')}, the layer {layer!r} "
                f"of the target gives a token other bits in a forward pass over {width} tokens than alone; choose "
                "another dtype or backend, or method='autoregressive'"
            )
        checks.widths.add(width)


def check_strict(model: PreTrainedModel) -> None:
    """Raise unless ``model`` runs on a CPU, has the attention that strict decoding reproduces, and no experts."""
    device, attention, name = input_device(model).type, model.config._attn_implementation, type(model).__name__
    if mode_of(model) != "grouped" or any("Expert" in type(module).__name__ for module in model.modules()):
        raise DynatreeError(
            f"exact='strict' serves models of attention layers without experts, not a {name}; leave out exact"
        )
    if device != "cpu":
        raise DynatreeError(
            f"exact='strict' is offered on a CPU only, but the target is on {device}, whose kernels may depend on the "
            "width of a forward pass; leave out exact"
        )
    if attention != "sdpa":
        raise DynatreeError(
            f"exact='strict' reproduces the attention 'sdpa', but the target uses {attention!r}; "
            "call model.set_attn_implementation('sdpa')"
        )


def _find_checks(model: PreTrainedModel) -> _Checks:
    state = hash((module_signature(model), model.dtype, torch.get_num_threads()))
    checks = _checks.get(model)
    if checks is None or checks.state != state:
        checks = _checks[model] = _Checks(state, _decode_plainly(model))
    return checks


def _tokens(model: PreTrainedModel) -> torch.Tensor:
    """Return the prompt, a root and its children, spread over the vocabulary."""
    return (7919 * torch.arange(1, PROMPT + 2 + CHILDREN) + 11) % model.config.get_text_config().vocab_size


def _decode_plainly(model: PreTrainedModel) -> torch.Tensor:
    """Return the logits of a root and its children, one token at a time as transformers does."""
    prompt, root, children = _tokens(model).split([PROMPT, 1, CHILDREN])
    logits = []
    for child in children[:, None]:
        cache = DynamicCache(config=model.config)
        for ids in (prompt, root, child):
            logits.append(forward_logits(model, ids[None], cache=cache, last_only=True, implementation=None)[0])
    return torch.cat([logits[1], *logits[2::3]])


def _decode_star(model: PreTrainedModel, width: int) -> torch.Tensor:
    """Return the logits of a root and ``width - 1`` children, in one forward pass."""
    prompt, root, children = _tokens(model).split([PROMPT, 1, CHILDREN])
    cache = PathCache(model.config.get_text_config().num_hidden_layers, PROMPT + 2 * width + 2)
    forward_logits(model, prompt[None], torch.arange(PROMPT)[None], cache=cache, last_only=True)
    ids = torch.cat([root, children[torch.arange(width - 1) % CHILDREN]])
    visible = torch.eye(width, dtype=torch.bool)
    visible[:, 0] = True
    cache.place(visible, width)
    positions = PROMPT + (torch.arange(width) > 0).long()
    return _logits(model, ids, positions, [Nodes(cache, 0, width)])


def _logits(model: PreTrainedModel, ids: torch.Tensor, positions: torch.Tensor, parts: list[Nodes]) -> torch.Tensor:
    attention = PathAttention(parts)
    return forward_logits(model, ids[None], positions[None], cache=attention, compressed=attention)[0]


def _cut(parts: list[Nodes], start: int) -> list[Nodes]:
    """Return the parts of ``MAX_WIDTH`` nodes from ``start`` on."""
    cut, before = [], 0
    for cache, _, count in parts:
        first, end = max(0, start - before), min(count, start + MAX_WIDTH - before)
        if first < end:
            cut.append(Nodes(cache, first, end - first))
        before += count
    return cut


def _same(states: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return True if the bits are equal, or if a value is not finite, which is reported where the logits are used."""
    return torch.equal(states, expected) or not (states.isfinite().all() and expected.isfinite().all())


def _first_difference(model: PreTrainedModel, width: int, rows: list[int]) -> str:
    """Return the name of the first layer whose output depends on the width of a forward pass."""
    wide = _layer_outputs(model, partial(_decode_star, model, width))
    single = _layer_outputs(model, partial(_decode_plainly, model))
    for name, outputs in wide.items():
        own = [single[name][1], *single[name][2::3]]
        if not _same(outputs[-1], torch.cat(own)[rows]):
            return name
    return "attention"


def _layer_outputs(model: PreTrainedModel, decode: Callable[[], Any]) -> dict[str, list[torch.Tensor]]:
    """Return the outputs [tokens, features] of each innermost module, by its calls, in the order of first calls."""
    outputs: dict[str, list[torch.Tensor]] = {}

    def record(name: str, module: Any, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            outputs.setdefault(name, []).append(output.flatten(0, -2))

    innermost = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(partial(record, name)) for name, module in innermost]
    try:
        decode()
    finally:
        for hook in hooks:
            hook.remove()
    return outputs
