"""The forward pass of a transformers model over new tokens; the only forward call of decoding."""

from typing import Any

import torch
from transformers import PreTrainedModel

from dynatree.models.attention import grouped, repeat_for_groups
from dynatree.models.supported import is_hooked
from dynatree.models.trimmed_head import TrimmedHead, output_head


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
        model: target or draft.
        ids: [batch, n] token ids.
        positions: [batch, n] position ids; None to count on from the cache.
        mask: boolean [batch, 1, n, entries], which transformers passes on unchanged; None where causal attention is
            right.
        cache: key/value cache; None for a pass without one.
        compressed: object with a mask for each layer, see :mod:`dynatree.models.attention`; often the cache itself.
    """
    mask = mask if mask is None else repeat_for_groups(mask, model.config)
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "past_key_values": cache}
    with grouped(model):
        return model.base_model(**inputs, use_cache=cache is not None, compressed=compressed).last_hidden_state


def apply_head(head: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits [n, tokens of the head] of ``hidden`` [n, hidden_size]."""
    if isinstance(head, TrimmedHead) and not is_hooked(head):
        return head.trimmed(hidden)
    return head(hidden)[..., head.token_map] if isinstance(head, TrimmedHead) else head(hidden)


def head_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens that the output head scores."""
    head = output_head(model)
    return len(head.token_map) if isinstance(head, TrimmedHead) else model.config.vocab_size
