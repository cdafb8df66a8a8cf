"""A compressed cache that trees are decoded with.

Behind the rows that were kept lies a tail of rows that are not compressed yet; trees are appended to it and reduced to
their accepted paths as in :class:`dynatree.models.kv_cache.TreeCache`. Rows are evicted when the text has grown by the
method's ``every`` tokens, and only when all rows are of the text. So what a token attends to depends on the text before
it, not on where rounds began and ended, as long as no round goes beyond :attr:`CompressedTreeCache.capacity_left`.
"""

import sys

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.kvcompress.attention_history import Observer
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.rotary import rotary_frequencies
from dynatree.kvcompress.row_buffer import Rows
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.transfer import upload

_PASSED_THROUGH = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # each layer is given its own mask instead


class CompressedTreeCache(Cache, DecodingCache):
    """Keys and values of one request, with the interface of a :class:`dynatree.models.kv_cache.TreeCache`.

    Rows are named by the place of their token in the text. Layers share buffers as far as they hold equally many rows;
    where a method keeps different numbers per head, each layer is as long as its longest head.

    Args:
        model: whose layers it serves, GPT-NeoX or Llama.
        method: says what stays.
        rows: tokens of the whole request.
        nodes: most rows of a tree.

    Raises:
        DynatreeError: the method does not fit the model.
    """

    def __init__(self, model: PreTrainedModel, method: Method, rows: int, nodes: int):
        config = model.config
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        method.check_model(config.num_hidden_layers, config.num_attention_heads, kv_heads)
        self.method = method
        self.device = model.device
        frequencies = rotary_frequencies(model) if method.rotates else None
        slack = min(method.every, rows) + nodes + 1
        layers = range(config.num_hidden_layers)
        self.parts = [Rows(indices, slack, frequencies) for indices in _alike(method, layers) if indices]
        self.observers = [Observer(method) for _ in layers] if method.observed_queries else []
        self._max_bytes = 0
        self._new = 0  # tokens of the first pass; 1 once they are kept
        self._compressed_at = 0  # tokens of the text when rows were evicted last
        self._drafted = False  # whether the current pass is over drafted tokens
        self._masks: dict[int, torch.Tensor | None] = {}  # of the current pass, by layer
        homes = {index: (part, place) for part in self.parts for place, index in enumerate(part.indices)}
        super().__init__(layers=[homes[index][0].layers[homes[index][1]] for index in layers])

    @property
    def compressed(self) -> "CompressedTreeCache":
        """What attention has to be told of."""
        return self

    @property
    def length(self) -> int:
        """Tokens taken in."""
        return self.parts[0].length + self.parts[0].offset

    @property
    def entries(self) -> int:
        """Entries of the layer that holds most."""
        return max(part.length for part in self.parts)

    @property
    def evicted(self) -> int:
        """Tokens without a row in any layer."""
        return self.length - self.entries

    @property
    def shift(self) -> int:
        """What to subtract from the place of a new token in the text for its position."""
        return self.parts[0].offset if self.method.rotates else 0

    @property
    def capacity_left(self) -> int:
        """Tokens that the text may grow by before rows are evicted."""
        if self.method.when == "prefill":
            return sys.maxsize
        return max(self.method.every - (self.length - self._compressed_at), 1)

    @property
    def max_bytes(self) -> int:
        """Largest memory held so far, right after a forward pass or between passes."""
        return self._max_bytes

    def bytes(self) -> int:
        """Memory of everything held: buffers, places of rows, attention observed and waiting for acceptance."""
        held = [tensor.untyped_storage() for observer in self.observers for tensor in observer.tensors()]
        observed = {storage.data_ptr(): storage.nbytes() for storage in held}
        return sum(part.bytes() for part in self.parts) + sum(observed.values())

    def mask(self, new: int, visible: torch.Tensor | None) -> torch.Tensor | None:
        """Prepare a pass over ``new`` tokens, see :meth:`TreeCache.mask`; each layer has its mask."""
        self._new = self._new or new
        self._drafted = visible is not None
        for part in self.parts:
            part.reserve(new)
            mask = part.mask(new, visible)
            self._masks |= dict.fromkeys(part.indices, mask if mask is None else upload(mask, self.device))
        return None if new == 1 else _PASSED_THROUGH

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, scaling: float | None) -> torch.Tensor | None:
        """The mask of ``layer`` in the current pass, whose attention the method sees if it wants to.

        Args:
            layer: its index.
            query: [1, heads, n, head_dim].
            key: [1, kv_heads, rows, head_dim].
            scaling: of their products.
        """
        mask = self._masks[layer]
        if self.observers and self.method.covers(layer, self._new):
            self.observers[layer].observe(query, key, mask, scaling, self._drafted)
        return mask

    def keep(self, start: int, entries: list[int]) -> None:
        """As :meth:`TreeCache.keep`; then all rows are of the text, and some may be evicted."""
        self._max_bytes = max(self._max_bytes, self.bytes())
        for part in self.parts:
            offset = part.offset
            part.keep(start - offset, [entry - offset for entry in entries])
            for index in part.indices if self.observers else ():
                self.observers[index].keep(start - offset, [entry - offset for entry in entries])
        if self.length - self._compressed_at >= self.method.every:
            self._compress()
        self._new = 1

    def _compress(self) -> None:
        seen = self.length
        for part in self.parts:
            if self.method.covers(part.indices[0], self._new):
                self._evict(part, seen)
                self._compressed_at = seen
        if self.method.when == "prefill":
            self.observers = []

    def _evict(self, part: Rows, seen: int) -> None:
        length = part.length
        remembered = {
            index: self.observers[index].lengthened(length) if self.observers else None for index in part.indices
        }

        def select(index, keys, values, places):
            return self.method.select(keys, values, remembered[index], places, seen, index)

        kept = part.evict(select)
        if kept and self.observers:
            for index, rows in zip(part.indices, kept, strict=True):
                self.observers[index].evict(rows, length)


def _alike(method: Method, layers: range) -> list[list[int]]:
    """Groups of layers that hold equally many rows."""
    compressed = [index for index in layers if index not in method.skip_layers]
    skipped = [index for index in layers if index in method.skip_layers]
    return [*([index] for index in compressed), skipped] if method.ragged else [compressed, skipped]
