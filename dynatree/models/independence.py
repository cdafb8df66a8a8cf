"""Independence of the tokens of a forward pass, which decoding with trees and batches requires.

A node of a tree must get the logits that a forward pass over its path alone gives. Quantized activations with one scale
for all rows, expert capacities, and biases by row break this. Short forward passes of the model show it.
"""

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.forward import forward_logits
from dynatree.models.modes import implementation_of, mode_of
from dynatree.models.positions import served_positions, switching_length
from dynatree.models.runner import ModelRunner
from dynatree.models.supported import has_own_forward, has_plain_weights, is_hooked
from dynatree.models.transfer import input_device

PROMPT, ROOT = 3, 3  # tokens of the prompt, which is the position of the root
FILLERS = 56  # children of the root, so that a layer of limited capacity is exceeded
PARENTS = [None, 0, 0, 1, 1, 3, *[0] * FILLERS, 0, 62]  # of the nodes of the tree, root first
MEASURED = (0, 1, 2, 3, 4, 5, 62, 63)
BATCH = 8
TOLERANCE = 2e-4  # of the largest logit; float32 differs by about 1e-6, int8 activations by 1e-3 and more
ORDINARY = ("torch.nn.modules.", "transformers.models.", "transformers.activations", "dynatree.")
EXACT_FORMATS = (torch.float32, torch.float64)

_checked: WeakKeyDictionary[PreTrainedModel, dict[bool, int]] = WeakKeyDictionary()


def check_independence(model: PreTrainedModel, batch: bool = False) -> None:
    """Raise if the logits of a token depend on tokens of the same forward pass that it does not attend to.

    A model of ordinary layers and weights is independent. One with hooks, adapters, quantized weights or layers of
    other libraries is measured once, and again if its modules change. In float32 and float64, a forward pass over
    several tokens is compared with one over each of them alone. Rounding hides the difference in other formats, so
    there the other tokens are exchanged instead. This changes the rounding of experts, which are therefore not
    measured in these formats.

    Args:
        model: the target, in evaluation mode.
        batch: True to check several rows of a batch, too.

    Raises:
        DynatreeError: the logits depend on other tokens.
    """
    switch = switching_length(model.config)
    deepest = ROOT + max(map(len, _paths()))
    too_short = min(switch or deepest, served_positions(model.config)) < deepest
    if too_short or mode_of(model) == "chain" or _is_ordinary(model):
        return
    tree_pairs, batch_pairs = _tree_pairs, _batch_pairs
    if model.dtype not in EXACT_FORMATS or _rounds_products(input_device(model)):
        if any("expert" in name for name, _ in model.named_modules()):
            return
        tree_pairs, batch_pairs = _exchanged_tree_pairs, _exchanged_batch_pairs
    state, checked = module_signature(model), _checked.setdefault(model, {})
    for kind, pairs in ((False, tree_pairs), (True, batch_pairs)) if batch else ((False, tree_pairs),):
        if checked.get(kind) == state:
            continue
        try:
            for together, alone in pairs(model):
                _compare(model, together, alone)
        except (ValueError, RuntimeError) as error:
            if isinstance(error, DynatreeError):
                raise
            raise DynatreeError(
                f"the target {type(model).__name__} refuses a {'batch' if kind else 'tree'} of other tokens ({error}); "
                "remove settings that are tied to the rows of one batch"
            ) from error
        checked[kind] = state


def _compare(model: PreTrainedModel, together: torch.Tensor, alone: torch.Tensor) -> None:
    if not (alone.isfinite().all() and together.isfinite().all()):
        return  # reported where the logits are used, with the name of the model
    together, alone = together.float(), alone.float()
    gap = (together - alone).abs().max() / alone.abs().max().clamp(min=1e-9)
    if gap > TOLERANCE:
        raise DynatreeError(
            f"the tokens of a forward pass of the target {type(model).__name__} depend on each other (logits change by "
            f"{gap:.1e}), as with activations quantized by one scale for all rows, so no tree and no batch can be "
            "verified; use method='autoregressive' for one prompt, or weights without such a dependence"
        )


def _tree_pairs(model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the logits of each node, verified as part of a tree and at the end of its path alone."""
    runner, nodes, paths = _prefilled(model), _tokens(model, len(PARENTS)), _paths()
    tree = _verify(runner, nodes)
    for node in MEASURED:
        runner.cache.keep(ROOT, [])
        for depth, ancestor in enumerate(paths[node]):
            logits = runner.forward([nodes[ancestor]], [ROOT + depth])
        yield tree[node], logits[0]


def _exchanged_tree_pairs(model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the logits of each node of a tree, and those where one token replaces all tokens outside its path."""
    runner, nodes, paths = _prefilled(model), _tokens(model, len(PARENTS)), _paths()
    tree = _verify(runner, nodes)
    for node in MEASURED:
        runner.cache.keep(ROOT, [])
        exchanged = [token if index in paths[node] else nodes[-1] for index, token in enumerate(nodes)]
        yield tree[node], _verify(runner, exchanged)[node]


def _batch_pairs(model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the logits of each row of a batch, read with the other rows and alone."""
    ids = _batch(model)
    together = _logits(model, ids)
    for row in (0, 1, BATCH - 1):
        yield together[row], _logits(model, ids[row : row + 1])[0]


def _exchanged_batch_pairs(model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the logits of each row of a batch, and those where one row replaces all others."""
    ids = _batch(model)
    together = _logits(model, ids)
    for row in (0, 1, BATCH - 1):
        exchanged = ids[2:3].repeat(BATCH, 1)
        exchanged[row] = ids[row]
        yield together[row], _logits(model, exchanged)[row]


def _logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    return forward_logits(model, ids, implementation=implementation_of(model))


def _batch(model: PreTrainedModel) -> torch.Tensor:
    """Return token ids [BATCH, PROMPT]."""
    return torch.tensor(_tokens(model, BATCH * PROMPT), device=input_device(model)).view(BATCH, PROMPT)


def _prefilled(model: PreTrainedModel) -> ModelRunner:
    """Return a runner that has read a prompt."""
    runner = ModelRunner(model, "target", ROOT + len(PARENTS))
    runner.forward(_tokens(model, PROMPT), range(PROMPT), last_only=True)
    return runner


def _verify(runner: ModelRunner, nodes: list[int]) -> torch.Tensor:
    """Return the logits [nodes, vocabulary] of the tokens of the tree."""
    paths = _paths()
    visible = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    for node, path in enumerate(paths):
        visible[node, path] = True
    return runner.forward(nodes, [ROOT + len(path) - 1 for path in paths], visible)


def _paths() -> list[list[int]]:
    """Return the path of each node, from the root to the node."""
    paths: list[list[int]] = []
    for node, parent in enumerate(PARENTS):
        paths.append([*(paths[parent] if parent is not None else []), node])
    return paths


def _tokens(model: PreTrainedModel, count: int) -> list[int]:
    """Return token ids spread over the vocabulary."""
    vocabulary = model.config.get_text_config().vocab_size
    return [(7919 * index + 11) % vocabulary for index in range(1, count + 1)]


def _is_ordinary(model: PreTrainedModel) -> bool:
    """Return True if all modules are those of torch and transformers, with ordinary weights and no foreign hooks."""
    roots = (model, model.base_model)
    return all(
        type(one).__module__.startswith(ORDINARY)
        and has_plain_weights(one)
        and (one in roots or not is_hooked(one) or _is_observed(one))
        for one in model.modules()
    )


def _is_observed(module: nn.Module) -> bool:
    """Return True if the hooks of a module are those of this package, which measure and change nothing."""
    hooks: Any = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ours = all(str(getattr(hook, "__module__", "")).startswith("dynatree.") for hook in hooks)
    return ours and bool(hooks) and not has_own_forward(module)


def module_signature(model: PreTrainedModel) -> int:
    """Return a number that changes if modules are replaced or hooked."""
    modules: Any = model.modules()
    return hash(tuple((type(one), *one._forward_hooks, *one._forward_pre_hooks) for one in modules))


def _rounds_products(device: torch.device) -> bool:
    """Return True if products of float32 are rounded to fewer bits on a device."""
    tensor_cores = device.type == "cuda" and bool(torch.backends.cuda.matmul.allow_tf32)
    return tensor_cores or torch.get_float32_matmul_precision() != "highest"
