"""Decoder layers with two calls of compiled kernels around their attention, in float32 on a CPU.

The small operations between the products of a decoder layer, and the Python code that calls them, otherwise take a
third of a forward pass over one token.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, eager_attention_forward

from dynatree.models.kernels.bypass import Bypass
from dynatree.models.kernels.layers import SmallBatchLinear, small_batch
from dynatree.models.kernels.library import kernels

TRIED_TOKENS = 3
TOLERANCE = 1e-4  # relative to the largest value


class FusedLlamaDecoderLayer(LlamaDecoderLayer):
    """A decoder layer of Llama that bypasses its modules for small batches, see :func:`fuse`.

    It calls the modules under autograd, for large batches, and where one of them was replaced or has a hook.
    """

    bypass: Bypass

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = False,
        position_embeddings: Any = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        # hidden_states: [batch, n, k]; position_embeddings: cos and sin [batch or 1, n, head_dim]
        attention, mlp = self.self_attn, self.mlp
        if not (small_batch(hidden_states, attention.q_proj.weight) and self.bypass.holds()):
            return super().forward(
                hidden_states,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
                position_embeddings=position_embeddings,
                **kwargs,
            )
        (batch, n, k), head_dim, threads = hidden_states.shape, attention.head_dim, torch.get_num_threads()
        norm, norm_after, query, _, _, projection, gate, _, down = self.bypass.addresses
        kv_width, attention_width = attention.v_proj.out_features, attention.q_proj.out_features
        width, outputs = mlp.gate_proj.out_features, attention_width + 2 * kv_width
        hidden = hidden_states.contiguous()
        cos, sin = (table.expand(batch, -1, -1).contiguous() for table in position_embeddings)
        normed, states = hidden.new_empty(batch, n, k), hidden.new_empty(batch, n, outputs)
        kernels().before_attention(
            *(hidden.data_ptr(), norm, query, cos.data_ptr(), sin.data_ptr(), normed.data_ptr(), states.data_ptr()),
            *(batch * n, k, outputs, (attention_width + kv_width) // head_dim, head_dim // 2),
            *(threads, self.input_layernorm.variance_epsilon),
        )
        heads = states.view(batch, n, -1, head_dim).transpose(1, 2)  # [batch, all heads, n, head_dim]
        queries, keys, values = heads.split([w // head_dim for w in (attention_width, kv_width, kv_width)], dim=1)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, attention.layer_idx)
        name: Any = attention.config._attn_implementation
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager_attention_forward)
        dropout = attention.attention_dropout if attention.training else 0.0
        attended = attend(
            attention, queries, keys, values, attention_mask, dropout=dropout, scaling=attention.scaling, **kwargs
        )[0].contiguous()
        output, scratch = torch.empty_like(hidden), hidden.new_empty(batch * n * 3 * width)
        both, product = scratch.data_ptr(), scratch.data_ptr() + scratch.itemsize * batch * n * 2 * width
        kernels().after_attention(
            *(attended.data_ptr(), hidden.data_ptr(), projection, norm_after, gate, down),
            *(output.data_ptr(), normed.data_ptr(), both, product),
            *(batch * n, k, attention_width, width, threads, self.post_attention_layernorm.variance_epsilon),
        )
        return output


def fuse(model: PreTrainedModel) -> None:
    """Fuse the decoder layers of a model where possible, in place.

    A layer is fused if it returns what the original returns for random input. It keeps its identity and its hooks.

    Args:
        model: its linear layers are :class:`dynatree.models.kernels.layers.SmallBatchLinear`, consecutive in memory.
    """
    layers: list[Any] = [module for module in model.modules() if type(module) is LlamaDecoderLayer]
    for layer in filter(_fusible, layers):
        expected = _trial(layer)
        layer.__class__ = FusedLlamaDecoderLayer
        layer.bypass = Bypass(layer, modules_of(layer))
        if (_trial(layer) - expected).abs().max() > TOLERANCE * expected.abs().max():
            layer.__class__ = LlamaDecoderLayer


def modules_of(layer: Any) -> tuple[nn.Module, ...]:
    """Return the modules of a layer that a fused layer bypasses."""
    parts = (layer.input_layernorm, layer.post_attention_layernorm, layer.self_attn, layer.mlp)
    return (*parts, *layer.self_attn._modules.values(), *layer.mlp._modules.values())


def _fusible(layer: Any) -> bool:
    """Return True if one product can replace the products that share their input."""
    attention, mlp = layer.self_attn, layer.mlp
    linear = (*attention.children(), mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    if any(type(module) is not SmallBatchLinear or module.bias is not None for module in linear):
        return False
    pairs = ((attention.q_proj, attention.k_proj), (attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj))
    return all(one.weight.data_ptr() + one.weight.nbytes == after.weight.data_ptr() for one, after in pairs)


@torch.inference_mode()
def _trial(layer: Any) -> torch.Tensor:
    """Return the output of a layer for random input, the same at each call."""
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, TRIED_TOKENS, layer.hidden_size, generator=random)
    angles = torch.randn(1, TRIED_TOKENS, layer.self_attn.head_dim // 2, generator=random).repeat(1, 1, 2)
    return layer(hidden, position_embeddings=(angles.cos(), angles.sin()))
