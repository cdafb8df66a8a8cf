"""The forward pass of a transformers model over new tokens; the only forward call of decoding."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.models.attention import GROUPED
from dynatree.models.layout import PassLayout, laid_out, position_mask
from dynatree.models.supported import is_hooked
from dynatree.models.switch import attention_of
from dynatree.models.trimmed_head import TrimmedHead, output_head


def forward_logits(
    model: PreTrainedModel,
    ids: torch.Tensor,
    positions: torch.Tensor | None = None,
    layout: PassLayout | None = None,
    cache: Any = None,
    last_only: bool = False,
    rows: torch.Tensor | None = None,
    compressed: Any = None,
    implementation: str | None = GROUPED,
) -> torch.Tensor:
    """Return the logits of new tokens as the model computes them, and append their entries to ``cache``.

    Args:
        model: target or draft.
        ids: [batch, n] token ids.
        positions: [batch, n] position ids; None to count on from the cache.
        layout: of a forward pass over a tree or over a padded batch; None where causal attention is right.
        cache: key/value cache; None for a pass without one.
        last_only: return the logits of the last token of each row only.
        rows: [r] indices of tokens in ``ids`` seen as one row; None for all.
        compressed: makes the masks of the layers, see :mod:`dynatree.models.attention`; often the cache itself.
        implementation: attention implementation, see :func:`dynatree.models.switch.attention_of`; None for that of
            the model.

    Returns:
        [batch, n or 1, tokens of the head]; with ``rows`` [r, tokens of the head].
    """
    known = accepted_arguments(type(model))
    inputs: dict[str, Any] = {"input_ids": ids, cache_argument(model): cache, "use_cache": cache is not None}
    inputs |= {"position_ids": positions} if "position_ids" in known and positions is not None else {}
    if layout is not None and ("position_ids" not in known or getattr(model.config, "alibi", False)):
        inputs["attention_mask"] = position_mask(layout, ids.device)
    keeps = last_only and "logits_to_keep" in known
    inputs |= {"logits_to_keep": 1} if keeps else {}
    head, build = output_head(model), getattr(model.base_model, "build_mpt_alibi_tensor", None)
    trimmed = head if isinstance(head, TrimmedHead) else None
    compact = trimmed is not None and not is_hooked(trimmed)
    with ExitStack() as stack:
        stack.enter_context(attention_of(model, implementation))
        stack.enter_context(laid_out(layout, compressed))
        if trimmed is not None and compact:
            stack.enter_context(_own_tokens(trimmed))
        if rows is not None:
            stack.enter_context(_selected(head, rows))
        if build is not None and layout is not None:
            stack.enter_context(_biased(model.base_model, build, layout))
        logits = model(**inputs, return_dict=True).logits
    if trimmed is not None and not compact:
        logits = logits[..., trimmed.token_map]
    if rows is not None:
        return logits.flatten(0, 1)
    return logits[:, -1:] if last_only and not keeps else logits


@contextmanager
def _biased(base: nn.Module, build: Callable[..., torch.Tensor], layout: PassLayout) -> Iterator[None]:
    """Let a model that looks up its biases by the index of an entry look them up by its position within the block."""

    def by_position(*args: Any, **options: Any) -> torch.Tensor:
        bias = build(*args, **options)  # [heads, 1, positions]
        return bias[..., layout.entries[0].to(bias.device)]

    setattr(base, "build_mpt_alibi_tensor", by_position)  # noqa: B010 - the checker admits no function here
    try:
        yield
    finally:
        del base.build_mpt_alibi_tensor


@cache
def accepted_arguments(kind: type[PreTrainedModel]) -> frozenset[str]:
    """Return the names of the arguments of a model's forward pass."""
    return frozenset(inspect.signature(kind.forward).parameters)


def cache_argument(model: PreTrainedModel) -> str:
    """Return the argument of the forward pass that takes the cache."""
    return "past_key_values" if "past_key_values" in accepted_arguments(type(model)) else "cache_params"


@contextmanager
def _own_tokens(head: TrimmedHead) -> Iterator[None]:
    """Let a trimmed head without hooks return the logits of its own tokens alone within the block."""
    head.compact = True
    try:
        yield
    finally:
        head.compact = False


@contextmanager
def _selected(head: nn.Module, rows: torch.Tensor) -> Iterator[None]:
    """Give the head only some rows of its input within the block."""

    def select(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].flatten(0, 1)[rows][None], *inputs[1:])

    hook = head.register_forward_pre_hook(select, prepend=True)
    try:
        yield
    finally:
        hook.remove()


def hidden_states(
    model: PreTrainedModel,
    ids: torch.Tensor,
    positions: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    cache: Any = None,
    compressed: Any = None,
) -> torch.Tensor:
    """Return the last hidden states [batch, n, hidden_size] of new tokens and append their entries to ``cache``.

    Args:
        model: a model whose layers have no window.
        ids: [batch, n] token ids.
        positions: [batch, n] position ids; None to count on from the cache.
        mask: boolean [batch, 1, n, entries], which transformers passes on unchanged; None where causal attention is
            right.
        cache: key/value cache; None for a pass without one.
        compressed: makes the masks of the layers, see :mod:`dynatree.models.attention`; often the cache itself.
    """
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "past_key_values": cache}
    with attention_of(model), laid_out(None, compressed):
        return model.base_model(**inputs, use_cache=cache is not None).last_hidden_state


def apply_head(head: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits [n, tokens of the head] of ``hidden`` [n, hidden_size], before any scale or bound of logits."""
    if isinstance(head, TrimmedHead) and not is_hooked(head):
        return head.trimmed(hidden)
    return head(hidden)[..., head.token_map] if isinstance(head, TrimmedHead) else head(hidden)


def head_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens that the output head scores."""
    head = output_head(model)
    return len(head.token_map) if isinstance(head, TrimmedHead) else model.config.get_text_config().vocab_size
