"""Attention whose weights can be looked at while a model runs, registered with transformers under a name of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

OBSERVED = "dynatree_observed"

Observer = Callable[[int, torch.Tensor], None]

_observers: dict[int, Observer] = {}  # id of a model's configuration -> who looks at its attention


def observed_attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Causal attention in float32 over all cached keys and the new ones, shown to the observer of the module's model.

    The query heads that share a key/value head are further query rows of that head, so no key is ever copied.
    """
    # query: [1, heads, n, head_dim]; key, value: [1, kv_heads, length, head_dim]; the new keys are the last n
    _, heads, n, head_dim = query.shape
    kv_heads, length = key.shape[1:3]
    rows = query.reshape(kv_heads, heads // kv_heads * n, head_dim)
    scores = (rows.float() * scaling) @ key[0].float().transpose(1, 2)
    scores = scores.reshape(heads, n, length)
    ahead = torch.ones(n, length, dtype=torch.bool, device=key.device).triu(length - n + 1)
    weights = scores.masked_fill_(ahead, -torch.inf).softmax(-1)  # [heads, n, length]
    _observers[id(module.config)](module.layer_idx, weights)
    mixed = weights.to(value.dtype).reshape(kv_heads, -1, length) @ value[0]
    return mixed.reshape(1, heads, n, head_dim).transpose(1, 2).contiguous(), None


def _no_mask(*arguments, **options) -> None:
    """The attention above is causal by itself, so transformers need not build a mask."""


AttentionInterface.register(OBSERVED, observed_attention)
AttentionMaskInterface.register(OBSERVED, _no_mask)


@contextmanager
def observing(model: PreTrainedModel, observer: Observer) -> Iterator[None]:
    """Show ``observer`` the attention of every layer of ``model`` while it reads one text without padding.

    The observer is called with the number of the layer and its weights [heads, new tokens, all tokens so far] in
    float32, which it must not change. The model's own setting is restored afterwards.
    """
    before = model.config._attn_implementation
    model.config._attn_implementation = OBSERVED
    _observers[id(model.config)] = observer
    try:
        yield
    finally:
        model.config._attn_implementation = before
        del _observers[id(model.config)]
