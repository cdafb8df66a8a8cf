"""Parts of decoder layers with fewer calls than those of transformers, in float32 on a CPU.

The calls between the products of a decoder layer take a third of a forward pass over one token. A fused part multiplies
layers that share their input at once, and calls one kernel where transformers calls two to ten operations.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaAttention, eager_attention_forward

from dynatree.models.kernels.layers import SmallBatchLinear, small_batch
from dynatree.models.kernels.library import kernels, multiply
from dynatree.models.supported import is_hooked

TRIED_TOKENS = 3
TOLERANCE = 1e-4  # relative to the largest value
Forward = Callable[..., Any]


def fuse(model: PreTrainedModel) -> None:
    """Fuse the norms, the gated feed-forward layers and the attention layers of a model where possible, in place.

    A part is fused if it returns what the original returns for random input. The modules keep their identity and their
    hooks. They call the original under autograd, for large batches, and where a bypassed layer has a hook.

    Args:
        model: its linear layers are :class:`dynatree.models.kernels.layers.SmallBatchLinear`, consecutive in memory.
    """
    for module in model.modules():
        fused = _fused_class(type(module))
        if fused is not None and _equal(module, fused):
            module.__class__ = fused


@functools.cache
def _fused_class(original: type[nn.Module]) -> type[nn.Module] | None:
    """Return a subclass with a fused forward method; None for a module that is no candidate."""
    kinds = {"RMSNorm": _norm_forward, "MLP": _feed_forward}
    make = _attention_forward if original is LlamaAttention else None
    for suffix, maker in kinds.items():
        make = maker if original.__name__.endswith(suffix) else make
    return type(f"Fused{original.__name__}", (original,), {"forward": make(original.forward)}) if make else None


@torch.inference_mode()
def _equal(module: nn.Module, fused: type[nn.Module]) -> bool:
    """Return True if a module and its fused form agree on random input."""
    arguments = _trial(module)
    if arguments is None:
        return False
    original, results = type(module), []
    for kind in (original, fused):
        module.__class__ = kind
        result = module(**arguments)
        results.append(result[0] if isinstance(result, tuple) else result)
    module.__class__ = original
    expected, found = results
    return bool((expected - found).abs().max() <= TOLERANCE * expected.abs().max())


def _trial(module: Any) -> dict[str, Any] | None:
    """Return random arguments for a module that has the layers of a candidate."""

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(1, TRIED_TOKENS, *shape)

    names = {name for name, _ in module.named_children()}
    if hasattr(module, "variance_epsilon"):
        return {"hidden_states": random(*module.weight.shape)}
    if {"gate_proj", "up_proj", "down_proj"} <= names:
        return {"x": random(module.gate_proj.in_features)}
    if {"q_proj", "k_proj", "v_proj", "o_proj"} == names:
        angles = random(module.head_dim // 2).repeat(1, 1, 2)
        return {"hidden_states": random(module.q_proj.in_features), "position_embeddings": (angles.cos(), angles.sin())}
    return None


def _norm_forward(original: Forward) -> Forward:
    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        # hidden_states: [..., k]
        if not small_batch(hidden_states, self.weight):
            return original(self, hidden_states)
        hidden = hidden_states.contiguous()
        output, k = torch.empty_like(hidden), hidden.shape[-1]
        kernels().rms_norm(
            hidden.data_ptr(),
            self.weight.data_ptr(),
            output.data_ptr(),
            hidden.numel() // k,
            k,
            self.variance_epsilon,
        )
        return output

    return forward


def _feed_forward(original: Forward) -> Forward:
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # x: [..., in]
        gate = self.gate_proj
        if not (small_batch(x, gate.weight) and _adjacent(gate, self.up_proj)):
            return original(self, x)
        width = gate.out_features
        both = multiply(x, gate.weight, 2 * width)
        product = both.new_empty((*x.shape[:-1], width))
        kernels().gated_silu(both.data_ptr(), product.data_ptr(), product.numel() // width, width)
        return self.down_proj(product)

    return forward


def _attention_forward(original: Forward) -> Forward:
    def forward(
        self, hidden_states, position_embeddings, attention_mask=None, past_key_values=None, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        # hidden_states: [batch, n, in]; position_embeddings: cos and sin [batch or 1, n, head_dim]
        query = self.q_proj
        if not (small_batch(hidden_states, query.weight) and _adjacent(query, self.k_proj, self.v_proj)):
            return original(self, hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs)
        batch, n = hidden_states.shape[:2]
        rotated, single = query.out_features + self.k_proj.out_features, self.v_proj.out_features
        states = multiply(hidden_states, query.weight, rotated + single)
        cos, sin = (table.expand(batch, -1, -1).contiguous() for table in position_embeddings)
        kernels().rotate(
            states.data_ptr(),
            cos.data_ptr(),
            sin.data_ptr(),
            batch * n,
            rotated // self.head_dim,
            rotated + single,
            self.head_dim // 2,
        )
        heads = states.view(batch, n, -1, self.head_dim).transpose(1, 2)  # [batch, all heads, n, head_dim]
        kv_heads = single // self.head_dim
        queries, keys, values = heads.split((heads.shape[1] - 2 * kv_heads, kv_heads, kv_heads), dim=1)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.attention_dropout if self.training else 0.0
        output, weights = attend(
            self, queries, keys, values, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.o_proj(output.reshape(batch, n, -1)), weights

    return forward


def _adjacent(*layers: Any) -> bool:
    """Return True if one product can replace the layers: plain ones without bias, consecutive in memory."""
    end = layers[0].weight.data_ptr()
    for layer in layers:
        if type(layer) is not SmallBatchLinear or layer.bias is not None or is_hooked(layer):
            return False
        if layer.weight.data_ptr() != end:
            return False
        end += layer.weight.nbytes
    return True
