"""What compressed decoding must equal: one pass over the whole text with an explicit mask for every head."""

import json

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from dynatree.kvcompress import compress
from dynatree.kvcompress.rotary import rotary_frequencies, rotate_keys

KINDS = ("llama", "gpt_neox")
ENDLESS = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}


def text(length: int, seed: int = 0) -> torch.Tensor:
    """Random tokens [1, length]."""
    return torch.randint(4, 48, (1, length), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def decode(model, tokens: torch.Tensor, passes: list[int], method, **options):
    """Feed ``tokens`` in passes of the given sizes through a compressed cache.

    Returns:
        Logits [length, vocabulary], what each token could see, [kv_heads, length, length] by layer, and the cache.
    """
    length, cache, logits, start = tokens.shape[1], None, [], 0
    kv_heads = getattr(model.config, "num_key_value_heads", None) or model.config.num_attention_heads
    visible = [torch.zeros(kv_heads, length, length, dtype=torch.bool) for _ in range(model.config.num_hidden_layers)]
    with compress(model, method, **options):
        for size in passes:
            for layer, kept in enumerate(cache.kept if cache is not None else []):
                for head, positions in enumerate(kept):
                    visible[layer][head, start : start + size, positions] = True
            for seen in visible:
                seen[:, start : start + size, start : start + size] |= torch.ones(size, size, dtype=torch.bool).tril()
            out = model(tokens[:, start : start + size], past_key_values=cache)
            cache = out.past_key_values
            logits.append(out.logits[0])
            start += size
    assert start == length
    return torch.cat(logits), visible, cache


def masked_attention(
    module, query, key, value, attention_mask, scaling=None, visible=None, angles=None, seen=None, **_
):
    """Attention by the book, row by row where positions count within what a row sees."""
    # query, key: [1, heads or kv_heads, length, head_dim], rotated for their places in the text
    groups = query.shape[1] // key.shape[1]
    allowed = visible[module.layer_idx].repeat_interleave(groups, dim=0)  # [heads, length, length]
    key, value = key[0].repeat_interleave(groups, dim=0), value[0].repeat_interleave(groups, dim=0)
    if angles is None:
        scores = query[0] @ key.transpose(1, 2)
    else:
        scores = torch.stack([_counted(query[0, head], key[head], allowed[head], angles) for head in range(len(key))])
    weights = (scores * scaling).masked_fill(~allowed, -torch.inf).softmax(-1)
    seen.append(weights.view(-1, groups, *weights.shape[1:]).mean(1))
    return (weights @ value).transpose(0, 1)[None], None


def _counted(query, key, allowed, angles):
    """Scores [length, length] of one head whose positions count the rows that a token sees."""
    length = torch.arange(len(key))
    query, key = rotate_keys(query, -length, angles), rotate_keys(key, -length, angles)
    rows = []
    for row, sees in enumerate(allowed):
        ranks = sees.long().cumsum(0) - 1
        rows.append(
            rotate_keys(key, ranks, angles) @ rotate_keys(query[row : row + 1], ranks[row : row + 1], angles)[0]
        )
    return torch.stack(rows)


AttentionInterface.register("test_masked", masked_attention)
AttentionMaskInterface.register("test_masked", sdpa_mask)


@torch.inference_mode()
def masked(model, tokens: torch.Tensor, visible: list[torch.Tensor], rotated: bool = False):
    """Logits [length, vocabulary] of one pass in which each head sees what ``visible`` says.

    Returns:
        The logits, and the attention [kv_heads, length, length] by layer.
    """
    before, seen = model.config._attn_implementation, []
    model.config._attn_implementation = "test_masked"
    try:
        angles = rotary_frequencies(model) if rotated else None
        return model(tokens, visible=visible, angles=angles, seen=seen, use_cache=False).logits[0], seen
    finally:
        model.config._attn_implementation = before


def classification(path, model, windows) -> str:
    """A head classification in which query head ``head`` of ``layer`` has the window ``windows(layer, head)``."""
    config = model.config
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    names = [(layer, head) for layer in range(layers) for head in range(heads)]
    content = {
        "format": "dynatree-heads",
        "version": 1,
        "model": {"layers": layers, "heads": heads, "kv_heads": kv_heads},
        "heads": [
            {"layer": layer, "head": head, "kind": "local", "window": windows(layer, head)} for layer, head in names
        ],
    }
    path.write_text(json.dumps(content))
    return str(path)
