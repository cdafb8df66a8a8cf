"""Attention weights of every head, handed to an observer during a forward pass."""

from collections.abc import Callable

import torch

from dynatree.models.attention import attention_weights
from dynatree.models.layout import MaskFunction, windowed
from dynatree.models.masks import tree_mask
from dynatree.models.transfer import upload

Observer = Callable[[int, torch.Tensor], None]


class AttentionTap:
    """Computes the attention weights of every layer in a forward pass over a chain of tokens.

    Pass it as ``compressed`` to :func:`dynatree.models.forward.hidden_states`. The output of the pass stays the same.

    Args:
        observer: called with the index of the layer and its weights [heads, new tokens, all tokens so far] in float32.
    """

    def __init__(self, observer: Observer):
        self.observer = observer

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        scaling: float | None,
        window: MaskFunction | None = None,
    ) -> torch.Tensor | None:
        """Call the observer and return the causal mask of the pass.

        Args:
            layer: index of the layer.
            query: [1, heads, n, head_dim].
            key: [1, kv_heads, length, head_dim]; the new keys are the last ``n``.
            scaling: factor of the scores.
            window: mask function of a layer with a window; None without one.
        """
        n, length = query.shape[2], key.shape[2]
        mask = tree_mask(n, None, length - n)
        mask = mask if mask is None else upload(mask, query.device)
        if window is not None:
            entries = torch.arange(length, device=query.device)
            mask = windowed(mask, window, entries[length - n :], entries[None])
        self.observer(layer, attention_weights(query, key, mask, scaling, slice(0, n)).flatten(0, 1))
        return mask
