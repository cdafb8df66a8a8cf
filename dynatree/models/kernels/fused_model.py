"""Models of Llama whose layers run in one call of a compiled kernel, in float32 on a CPU.

The Python code of the layers otherwise takes a fifth of a forward pass over one token.
"""

import math
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.masking_utils import causal_mask_function
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaModel

from dynatree.models.attention import GROUPED
from dynatree.models.kernels.bypass import Bypass
from dynatree.models.kernels.decoder_ir import scratch_floats
from dynatree.models.kernels.fused import FusedLlamaDecoderLayer, modules_of
from dynatree.models.kernels.layers import small_batch
from dynatree.models.kernels.library import kernels
from dynatree.models.kv_cache import TreeCache
from dynatree.models.layout import compressed_cache, current_layout


class DecoderPlan(Bypass):
    """The layers that a fused model bypasses, and what the kernel needs to know of them.

    Args:
        layers: fused layers of one size.

    Attributes:
        heads, kv_heads, head_dim, width: sizes of each layer, the last that of its feed-forward layer.
        scale: factor of the scores of attention.
        epsilon: of the norms.
    """

    def __init__(self, layers: nn.ModuleList):
        super().__init__(layers, [module for layer in layers for module in (layer, *modules_of(layer))])
        self.heads, self.kv_heads, self.head_dim, self.width, self.scale, self.epsilon = _sizes(layers[0])
        self._table = torch.tensor([_weights(layer) for layer in layers])
        # A weak reference to the newest cache that was served.
        self._checked: Callable[[], TreeCache | None] = lambda: None

    def holds_for(self, cache: TreeCache) -> bool:
        """Return True if :meth:`holds` does when it is first asked for a cache, thus once in a request.

        After a forward pass, the processor's caches hold weights. Reading hundreds of modules then takes 0.6 ms.
        """
        if self._checked() is not cache:
            if not self.holds():
                return False
            self._checked = weakref.ref(cache)
        return True

    @property
    def address(self) -> int:
        """Address of the table of the weights' addresses."""
        return self._table.data_ptr()


class FusedLlamaModel(LlamaModel):
    """A model of Llama that bypasses its layers for a few tokens of one request, see :func:`fuse_model`.

    It calls its layers under autograd, for batches and for large inputs, with another attention or another cache than
    ours, and where a layer or a module in it was replaced or has a hook.
    """

    plan: DecoderPlan

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        # input_ids, position_ids: [1, n]
        if attention_mask is None and input_ids is not None and position_ids is not None and not kwargs:
            input_ids, inputs_embeds = None, self.embed_tokens(input_ids)
            buffer = self._extended(past_key_values, inputs_embeds)
            if buffer is not None:
                cos, sin = self.rotary_emb(inputs_embeds, position_ids=position_ids)
                hidden = self._decode(inputs_embeds.clone(), cos, sin, buffer, past_key_values.length)
                return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden), past_key_values=past_key_values)
        return super().forward(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )

    def _extended(self, cache: Any, hidden: torch.Tensor) -> torch.Tensor | None:
        """Return the buffer of ``cache`` with room for ``hidden`` [batch, n, k]; None if it is not served."""
        config = self.config
        serves = (
            len(hidden) == 1
            and type(cache) is TreeCache
            and compressed_cache() is None
            and not self.training
            and config._attn_implementation == GROUPED
            and not (config.output_attentions or config.output_hidden_states)
            and len(self.layers) == config.num_hidden_layers
            and small_batch(hidden, self.embed_tokens.weight)
            and self.plan.owner is self.layers
            and self.plan.holds_for(cache)
        )
        return cache.extend(hidden.shape[1]) if serves else None

    def _decode(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, buffer: torch.Tensor, length: int
    ) -> torch.Tensor:
        """Return the hidden states after the layers, and write the entries of the new tokens.

        Args:
            hidden: [1, n, k] embeddings, which are overwritten.
            cos, sin: [1, n, head_dim].
            buffer: [2 * layers, 1, kv_heads, entries, head_dim] keys and values of each layer in turn.
            length: entries in use, those of the new tokens included.
        """
        plan, threads = self.plan, torch.get_num_threads()
        n, k = hidden.shape[1:]
        sizes = plan.heads, plan.kv_heads, plan.head_dim, plan.width
        other, scratch = torch.empty_like(hidden), hidden.new_empty(scratch_floats(n, k, *sizes, length))
        layout = current_layout()
        mask = torch.ones(n, length, dtype=torch.bool).tril_(length - n) if n > 1 and layout is None else None
        if layout is not None:
            mask = layout.mask(cast(Any, causal_mask_function), hidden.device)[0, 0].contiguous()
        cos, sin = cos.contiguous(), sin.contiguous()
        kernels().decoder(
            *(plan.address, hidden.data_ptr(), other.data_ptr(), cos.data_ptr(), sin.data_ptr(), buffer.data_ptr()),
            *(0 if mask is None else mask.data_ptr(), scratch.data_ptr(), len(self.layers), n, k, *sizes, length - n),
            *(threads // math.gcd(plan.kv_heads, threads), buffer.stride(2), 0 if mask is None else mask.stride(0)),
            *(plan.scale, plan.epsilon, threads),
        )
        return other if len(self.layers) % 2 else hidden


def fuse_model(model: PreTrainedModel) -> None:
    """Let models of Llama in ``model`` bypass their layers, in place, if all are fused and of one size."""
    for one in [module for module in model.modules() if type(module) is LlamaModel]:
        layers: list[Any] = list(one.layers)
        if all(type(layer) is FusedLlamaDecoderLayer for layer in layers) and len(set(map(_sizes, layers))) == 1:
            first = layers[0]
            if first.input_layernorm.variance_epsilon == first.post_attention_layernorm.variance_epsilon:
                one.__class__ = FusedLlamaModel
                cast(Any, one).plan = DecoderPlan(one.layers)


def _sizes(layer: Any) -> tuple[int, int, int, int, float, float]:
    """Return heads, key/value heads, size of a head, width of the feed-forward layer, scaling and epsilon."""
    attention = layer.self_attn
    heads, kv_heads = (one.out_features // attention.head_dim for one in (attention.q_proj, attention.k_proj))
    width, epsilon = layer.mlp.gate_proj.out_features, layer.input_layernorm.variance_epsilon
    return heads, kv_heads, attention.head_dim, width, attention.scaling, epsilon


def _weights(layer: Any) -> list[int]:
    """Return the addresses of norm, queries, projection, second norm, gate and down projection."""
    norm, second_norm, query, _, _, projection, gate, _, down = layer.bypass.addresses
    return [norm, query, projection, second_norm, gate, down]
