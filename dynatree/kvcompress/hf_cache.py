"""A Hugging Face cache that evicts entries and keeps the true positions of the others."""

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.kvcompress.admission import admit_compression
from dynatree.kvcompress.hf_layer import CompressedLayer
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import make_method
from dynatree.kvcompress.rotary import layer_rotations
from dynatree.models.admission import admit
from dynatree.models.attention import head_counts
from dynatree.models.layout import MaskFunction
from dynatree.models.supported import plain_model


class CompressedCache(Cache):
    """Keys and values of one request, reduced by a method after each forward pass.

    Its length is the number of tokens *seen*, so Hugging Face continues true positions after an eviction.

    Args:
        model: the model whose layers it serves, or a ``PeftModel`` around one.
        method: name of a method, with its options; or the object.
        options: see ``method``.

    Attributes:
        method: the method.
        guided: True if passes run inside :func:`dynatree.kvcompress.compress`. Methods need that if they use attention,
            rotate keys, or keep different numbers of entries per head.

    Raises:
        DynatreeError: method or options are wrong or do not fit the model.
    """

    layers: list[CompressedLayer]

    def __init__(self, model: PreTrainedModel, method: str | Method, **options):
        model = plain_model(model, "model")
        admit(model, "model")
        admit_compression(model, "model")
        counts = head_counts(model.config)
        self.method = make_method(method, **options)
        self.method.check_model(*counts)
        self.config = model.config
        self.rotations = layer_rotations(model) if self.method.rotates else None
        self.guided = False
        super().__init__(layers=[CompressedLayer(self, index) for index in range(counts.layers)])

    @property
    def seen(self) -> int:
        """Tokens seen, evicted ones included."""
        return self.layers[0].seen

    @property
    def next_position(self) -> int:
        """Position of the next token: its index in the text, or in the cache if the method rotates keys."""
        return self.layers[0].longest if self.method.rotates else self.seen

    @property
    def entries(self) -> list[list[int]]:
        """Number of entries held, by layer and key/value head."""
        return [list(layer.lengths) for layer in self.layers]

    @property
    def kept(self) -> list[list[torch.Tensor]]:
        """True positions of the entries held, increasing, by layer and key/value head."""
        return [layer.kept() for layer in self.layers]

    def bytes(self) -> int:
        """Return the memory held between passes: keys, values, positions, observed attention."""
        storages = [tensor.untyped_storage() for layer in self.layers for tensor in layer.tensors()]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def compress(self) -> None:
        """Evict now what the method does not keep, in all layers that it does not skip."""
        for layer in self.layers:
            if layer.index not in self.method.skip_layers:
                layer.compress()

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        scaling: float | None,
        window: MaskFunction | None = None,
    ) -> torch.Tensor | None:
        """Return the mask of ``layer``, see :meth:`CompressedLayer.attend`."""
        return self.layers[layer].attend(query, key, scaling, window)

    def check_pass(self, layer: CompressedLayer, key_states: torch.Tensor) -> None:
        """Raise unless the cache can serve the pass that adds ``key_states`` [batch, kv_heads, n, head_dim].

        Raises:
            DynatreeError: the pass is a batch, or needs what the model's own attention does not do.
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
            raise DynatreeError(f"layers hold different numbers of entries, which one mask cannot serve; {remedy}")
