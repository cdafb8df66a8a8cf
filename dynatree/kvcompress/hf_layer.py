"""One layer of a compressed Hugging Face cache: entries, their true positions, and the attention they received."""

from typing import TYPE_CHECKING, Any

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.attention_history import AttentionHistory
from dynatree.kvcompress.methods.base import Kept, Method, gather_entries
from dynatree.kvcompress.rotary import rotate_keys
from dynatree.models.layout import MaskFunction, windowed
from dynatree.models.own_cache import OwnLayer

if TYPE_CHECKING:
    from dynatree.kvcompress.hf_cache import CompressedCache


class CompressedLayer(OwnLayer):
    """The entries of one layer. Heads may hold different entries and different numbers of them.

    Args:
        cache: the cache that the layer belongs to.
        index: index of the layer in the model.

    Attributes:
        keys, values: [entries of all heads, head_dim], head after head, without padding.
        positions: [kv_heads, longest] index of each entry in the text. Heads with fewer entries begin with -1. One line
            stands for all heads while they hold the same entries.
        phases: [1, entries] positions that the keys were rotated for; None unless the method rotates them.
        lengths: number of entries of each head.
        seen: tokens seen, evicted ones included.
        history: attention that the entries have received.
    """

    keys: Any  # tensors after lazy_initialization
    values: Any
    phases: Any

    def __init__(self, cache: "CompressedCache", index: int):
        super().__init__()
        self.cache = cache
        self.index = index
        self.reset()

    @property
    def method(self) -> Method:
        """The method of the cache."""
        return self.cache.method

    @property
    def longest(self) -> int:
        """Entries of the head that has most."""
        return max(self.lengths, default=0)

    def reset(self) -> None:
        """Drop everything."""
        self.keys = self.values = self.phases = None
        self.positions = torch.empty(1, 0, dtype=torch.int64)
        self.history = AttentionHistory(self.method)
        self.lengths: list[int] = []
        self.seen = 0
        self.fresh = 0  # tokens since the last compression
        self.new = 0  # tokens of the current pass
        self.columns: torch.Tensor | None = None  # positions of the entries that the current pass attends to
        self.width = 0  # entries that the current pass attends to, filling included
        self.filled = False  # True if heads of the current pass begin with filling
        self.is_initialized = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # key_states: [1, kv_heads, n, head_dim]
        self.lengths = [0] * key_states.shape[1]
        self.keys = key_states.new_empty(0, key_states.shape[3])
        self.values = value_states.new_empty(0, value_states.shape[3])
        self.positions = torch.empty(1, 0, dtype=torch.int64, device=key_states.device)
        if self.method.rotates:
            self.phases = self.positions
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """Append entries. The pass attends to them and to all earlier ones; evictions take effect after it.

        Returns:
            Keys and values [1, kv_heads, longest, head_dim] for the pass.
        """
        self.cache.check_pass(self, key_states)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys = torch.cat((self._padded(self.keys), key_states[0]), dim=1)
        values = torch.cat((self._padded(self.values), value_states[0]), dim=1)
        self._append(keys, values, key_states.shape[2])
        turned = self._turned(keys)
        if not self._uses_attention:
            self._settle()
        return turned[None], values[None]

    def _append(self, keys: torch.Tensor, values: torch.Tensor, new: int) -> None:
        lines = self.positions
        arrivals = torch.arange(self.seen, self.seen + new, device=lines.device).expand(len(lines), new)
        self.positions = torch.cat((lines, arrivals), dim=1)
        self.columns = self.positions if self.cache.guided else None
        if self.method.rotates:
            phases = torch.arange(self.longest, self.longest + new, device=lines.device)
            self.phases = torch.cat((self.phases, phases[None]), dim=1)
        self.lengths = [length + new for length in self.lengths]
        self.seen += new
        self.fresh += new
        self.new = new
        self.width = keys.shape[1]
        self.filled = self._ragged
        self.keys, self.values = self._flat(keys), self._flat(values)

    def _turned(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys [kv_heads, longest, head_dim] at the positions 0, 1, 2, ... if the method rotates them.

        Stored keys stay as computed, so a key is rounded once however often earlier entries are evicted.
        """
        if self.cache.rotations is None:
            return keys
        shift = torch.arange(self.longest, device=keys.device) - self.phases  # [1, longest]
        return rotate_keys(keys, shift, *self.cache.rotations[self.index])

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, scaling: float | None, window: MaskFunction | None = None
    ) -> torch.Tensor | None:
        """Return the mask of a pass, after :meth:`update`, and record its attention if the method uses it.

        Args:
            query: [1, heads, n, head_dim].
            key: [1, kv_heads, longest, head_dim] that :meth:`update` returned.
            scaling: factor of the scores.
            window: mask function of a layer with a window; None without one.

        Returns:
            Boolean [1, 1 or kv_heads, n, longest]: each token attends to all cached entries, to itself and to earlier
            tokens of the pass, but no head to its filling. None if that is causal.
        """
        columns, self.columns = self.columns, None
        assert columns is not None, "update() precedes attend() in every pass inside compress()"
        mask = self._mask(columns)
        if window is not None:
            length = columns.shape[1]
            places = torch.arange(length, device=columns.device)[None] if self.method.rotates else columns
            mask = windowed(self._causal(columns) if mask is None else mask, window, places[0, -self.new :], places)
        if self._uses_attention:
            self.history.observe(query, key, mask, scaling)
            self._settle()
        return mask

    def _mask(self, columns: torch.Tensor) -> torch.Tensor | None:
        length = columns.shape[1]
        if not self.filled and self.new in (1, length):
            return None
        return self._causal(columns)

    def _causal(self, columns: torch.Tensor) -> torch.Tensor:
        length = columns.shape[1]
        causal = torch.ones(self.new, length, dtype=torch.bool, device=columns.device).tril(length - self.new)
        return (causal & (columns >= 0)[:, None])[None]

    @property
    def _uses_attention(self) -> bool:
        return self.method.observed_queries > 0 and self.method.covers(self.index, self.new)

    def _settle(self) -> None:
        if self.method.covers(self.index, self.new) and self.fresh >= self.method.every:
            self.compress()

    def compress(self) -> None:
        """Evict now what the method does not keep; before the first pass, do nothing.

        Raises:
            DynatreeError: the method needs attention, and none was observed since the last compression.
        """
        if not self.is_initialized:
            return
        if self.method.observed_queries and self.history.observed is None:
            raise DynatreeError(
                f"{type(self.method).__name__} has observed no attention since the last compression; "
                "compress right after the prompt, or set when='both'"
            )
        self.fresh = 0
        keys, values = self._padded(self.keys), self._padded(self.values)
        positions = self.positions.expand(len(self.lengths), -1)
        kept = self.method.select(keys, values, self.history.padded(self.longest), positions, self.seen, self.index)
        if isinstance(kept, list) or kept.shape[-1] < self.longest:
            self._keep(kept, keys, values)
        if self.method.when == "prefill" and not self.method.accumulates:
            self.history = AttentionHistory(self.method)

    def _keep(self, kept: Kept, keys: torch.Tensor, values: torch.Tensor) -> None:
        same = isinstance(kept, torch.Tensor) and kept.ndim == 1
        positions = self.positions if same else self.positions.expand(len(self.lengths), -1)
        self.positions = gather_entries(positions, kept, fill=-1)
        self.history.evict(kept, self.longest)
        self.lengths = [len(entries) for entries in kept] if not same else [len(kept)] * len(self.lengths)
        self.keys, self.values = self._flat(gather_entries(keys, kept)), self._flat(gather_entries(values, kept))
        if self.phases is not None:
            self.phases = gather_entries(self.phases, kept)

    @property
    def _ragged(self) -> bool:
        return len(set(self.lengths)) > 1

    def _padded(self, states: torch.Tensor) -> torch.Tensor:
        """Return the stored ``states`` as [kv_heads, longest, head_dim]; zeros where ``positions`` are -1."""
        if not self._ragged:
            return states.view(len(self.lengths), self.longest, states.shape[-1])
        padded = states.new_zeros(len(self.lengths), self.longest, states.shape[-1])
        padded[self.positions >= 0] = states
        return padded

    def _flat(self, padded: torch.Tensor) -> torch.Tensor:
        """Return ``padded`` [kv_heads, longest, head_dim] as it is stored."""
        return padded[self.positions >= 0] if self._ragged else padded.reshape(-1, padded.shape[-1])

    def kept(self) -> list[torch.Tensor]:
        """Return the true positions of the entries of each head, increasing; no heads before the first pass."""
        if not self.is_initialized:
            return []
        lines = self.positions.expand(len(self.lengths), -1)
        return [line[line >= 0] for line in lines]

    def tensors(self) -> list[torch.Tensor]:
        """Return all tensors held between passes."""
        if not self.is_initialized:
            return []
        held = (self.keys, self.values, self.positions, self.phases, *self.history.tensors())
        return [tensor for tensor in held if tensor is not None]

    def get_seq_length(self) -> int:
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.longest + query_length, self.seen - self.longest

    def get_max_length(self) -> int:
        return -1
