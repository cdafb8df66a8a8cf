"""A cache of Hugging Face that evicts rows and knows where in the text the others stand."""

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.kvcompress.hf_layer import CompressedLayer
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import make_method
from dynatree.kvcompress.rotary import rotary_frequencies
from dynatree.models.pair import check_architecture


class CompressedCache(Cache):
    """Keys and values of one request, reduced by a method after each pass.

    It reports the tokens *seen* as its length, so Hugging Face continues true positions after an eviction.

    Args:
        model: whose layers it serves, GPT-NeoX or Llama.
        method: name of a method, with its options; or the object.

    Attributes:
        method: the method.
        guided: whether passes run inside :func:`dynatree.kvcompress.compress`, which methods need that see attention,
            rotate keys, or keep different numbers of rows per head.

    Raises:
        DynatreeError: method or options are wrong or do not fit the model.
    """

    def __init__(self, model: PreTrainedModel, method: str | Method, **options):
        check_architecture(model, "model")
        config = model.config
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.method = make_method(method, **options)
        self.method.check_model(config.num_hidden_layers, config.num_attention_heads, kv_heads)
        self.config = config
        self.frequencies = rotary_frequencies(model) if self.method.rotates else None
        self.guided = False
        super().__init__(layers=[CompressedLayer(self, index) for index in range(config.num_hidden_layers)])

    @property
    def seen(self) -> int:
        """Tokens taken in."""
        return self.layers[0].seen

    @property
    def next_position(self) -> int:
        """Position of the next token: its place in the text, or in the cache if the method rotates keys."""
        return self.layers[0].longest if self.method.rotates else self.seen

    @property
    def entries(self) -> list[list[int]]:
        """Entries held, by layer and key/value head."""
        return [list(layer.lengths) for layer in self.layers]

    @property
    def kept(self) -> list[list[torch.Tensor]]:
        """True positions of the rows held, increasing, by layer and key/value head."""
        return [layer.kept() for layer in self.layers]

    def bytes(self) -> int:
        """Memory of everything held between passes: keys, values, positions, observed attention."""
        storages = [tensor.untyped_storage() for layer in self.layers for tensor in layer.tensors()]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def compress(self) -> None:
        """Evict what the method does not keep, now, in all layers that it does not skip."""
        for layer in self.layers:
            if layer.index not in self.method.skip_layers:
                layer.compress()

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, scaling: float | None) -> torch.Tensor | None:
        """See :meth:`CompressedLayer.attend`."""
        return self.layers[layer].attend(query, key, scaling)

    def check_pass(self, layer: CompressedLayer, key_states: torch.Tensor) -> None:
        """Raise unless the pass that brings ``key_states`` [batch, kv_heads, n, head_dim] can be served.

        Raises:
            DynatreeError: it is a batch, or needs what the model's own attention does not do.
        """
        batch, _, new, _ = key_states.shape
        if batch != 1:
            raise DynatreeError(f"a compressed cache serves one sequence, not a batch of {batch}")
        if self.guided:
            return
        name = type(self.method).__name__
        remedy = "run the model inside `with dynatree.kvcompress.compress(model, ...)`"
        if self.method.observed_queries:
            raise DynatreeError(
                f"{name} needs attention scores, which the model's own attention does not give; {remedy}"
            )
        if self.method.rotates:
            raise DynatreeError(
                f"{name} with rotate=True sets the positions of new tokens; {remedy} or set rotate=False"
            )
        if self.method.ragged:
            raise DynatreeError(
                f"{name} keeps heads of different length, which the model's own attention pads; {remedy}"
            )
        width = self.layers[0].width if layer.index else layer.longest + new
        unmasked = new == 1 and self.config._attn_implementation == "sdpa"
        if layer.longest + new != width and not unmasked:
            raise DynatreeError(f"layers hold different numbers of rows, which one mask cannot serve; {remedy}")
