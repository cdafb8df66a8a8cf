"""One layer of a compressed cache: rows, their true positions, and what was observed of the attention."""

from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import CacheLayerMixin

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Kept, Method, gather_rows
from dynatree.kvcompress.rotary import rotate_keys
from dynatree.models.attention import latest_weights

if TYPE_CHECKING:
    from dynatree.kvcompress.hf_cache import CompressedCache


class CompressedLayer(CacheLayerMixin):
    """The rows of one layer, of which each head may hold others and another number.

    Attributes:
        keys, values: [rows of all heads, head_dim], head after head, nothing in between.
        positions: [kv_heads, longest] place of each row in the text; -1 fills up, at the beginning, what heads with
            fewer rows lack. One line stands for all heads while they hold the same rows.
        phases: [1, rows] positions that the keys were rotated for; only if the method rotates them.
        lengths: rows of each head.
        seen: tokens taken in.
        observed: [kv_heads, queries, longest] what the method remembers of the attention.
    """

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
        """Rows of the head that has most."""
        return max(self.lengths, default=0)

    def reset(self) -> None:
        """Forget everything."""
        self.keys = self.values = self.positions = self.phases = self.observed = None
        self.lengths: list[int] = []
        self.seen = 0
        self.fresh = 0  # tokens since the last compression
        self.new = 0  # tokens of the current pass
        self.columns: torch.Tensor | None = None  # positions of the rows that the current pass attends to, until it has
        self.width = 0  # rows that the current pass attends to, filling included
        self.filled = False  # whether heads of the current pass begin with filling
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
        """Append rows. The pass attends to them and to all that were there; what is evicted is gone after it.

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
        if not self._awaits_attention:
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

        What is stored stays as it was computed: however often rows before it are evicted, a key is rounded once.
        """
        if not self.method.rotates:
            return keys
        shift = torch.arange(self.longest, device=keys.device) - self.phases  # [1, longest]
        return rotate_keys(keys, shift, self.cache.frequencies)

    def attend(self, query: torch.Tensor, key: torch.Tensor, scaling: float | None) -> torch.Tensor | None:
        """The mask of a pass, after :meth:`update`; the method sees its attention if it wants to.

        Args:
            query: [1, heads, n, head_dim].
            key: [1, kv_heads, longest, head_dim], what :meth:`update` returned.
            scaling: of their products.

        Returns:
            Boolean [1, 1 or kv_heads, n, longest]: each token attends to everything cached and to those tokens of the
            pass that are not later, and no head to its filling. None if that is causal.
        """
        mask = self._mask()
        self.columns = None
        if self._awaits_attention:
            self._observe(query, key, mask, scaling)
            self._settle()
        return mask

    def _mask(self) -> torch.Tensor | None:
        length = self.columns.shape[1]
        if not self.filled and self.new in (1, length):
            return None
        causal = torch.ones(self.new, length, dtype=torch.bool, device=self.columns.device).tril(length - self.new)
        return (causal & (self.columns >= 0)[:, None])[None]

    def _observe(self, query, key, mask: torch.Tensor | None, scaling: float | None) -> None:
        self._lengthen_observed()
        for weights in latest_weights(query, key, mask, scaling, self.method.observed_queries):
            self.observed = self.method.observe(self.observed, weights)

    def _lengthen_observed(self) -> None:
        """Rows that came since the last observation have received no attention."""
        if self.observed is not None:
            self.observed = torch.nn.functional.pad(self.observed, (0, self.longest - self.observed.shape[2]))

    @property
    def _awaits_attention(self) -> bool:
        return self.method.observed_queries > 0 and self.method.covers(self.index, self.new)

    def _settle(self) -> None:
        if self.method.covers(self.index, self.new) and self.fresh >= self.method.every:
            self.compress()

    def compress(self) -> None:
        """Evict what the method does not keep, now; nothing before the first pass.

        Raises:
            DynatreeError: the method needs attention, and none was observed since it forgot what it had seen.
        """
        if not self.is_initialized:
            return
        if self.method.observed_queries and self.observed is None:
            raise DynatreeError(
                f"{type(self.method).__name__} has observed no attention since the last compression; "
                "compress right after the prompt, or set when='both'"
            )
        self.fresh = 0
        self._lengthen_observed()
        keys, values = self._padded(self.keys), self._padded(self.values)
        positions = self.positions.expand(len(self.lengths), -1)
        kept = self.method.select(keys, values, self.observed, positions, self.seen, self.index)
        if isinstance(kept, list) or kept.shape[-1] < self.longest:
            self._keep(kept, keys, values)
        if self.method.when == "prefill" and not self.method.accumulates:
            self.observed = None

    def _keep(self, kept: Kept, keys: torch.Tensor, values: torch.Tensor) -> None:
        same = isinstance(kept, torch.Tensor) and kept.ndim == 1
        positions = self.positions if same else self.positions.expand(len(self.lengths), -1)
        self.positions = gather_rows(positions, kept, fill=-1)
        self.lengths = [len(rows) for rows in kept] if not same else [len(kept)] * len(self.lengths)
        self.keys, self.values = self._flat(gather_rows(keys, kept)), self._flat(gather_rows(values, kept))
        if self.phases is not None:
            self.phases = gather_rows(self.phases, kept)
        if self.observed is not None:
            self.observed = gather_rows(self.observed.transpose(1, 2), kept).transpose(1, 2)

    @property
    def _ragged(self) -> bool:
        return len(set(self.lengths)) > 1

    def _padded(self, states: torch.Tensor) -> torch.Tensor:
        """Stored ``states`` as [kv_heads, longest, head_dim]; zeros where ``positions`` are -1."""
        if not self._ragged:
            return states.view(len(self.lengths), self.longest, states.shape[-1])
        padded = states.new_zeros(len(self.lengths), self.longest, states.shape[-1])
        padded[self.positions >= 0] = states
        return padded

    def _flat(self, padded: torch.Tensor) -> torch.Tensor:
        """``padded`` [kv_heads, longest, head_dim] as it is stored."""
        return padded[self.positions >= 0] if self._ragged else padded.reshape(-1, padded.shape[-1])

    def kept(self) -> list[torch.Tensor]:
        """True positions of the rows of each head, increasing; no heads before the first pass."""
        if not self.is_initialized:
            return []
        lines = self.positions.expand(len(self.lengths), -1)
        return [line[line >= 0] for line in lines]

    def tensors(self) -> list[torch.Tensor]:
        """Everything that the layer keeps in memory between passes."""
        held = (self.keys, self.values, self.positions, self.phases, self.observed)
        return [tensor for tensor in held if tensor is not None]

    def get_seq_length(self) -> int:
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.longest + query_length, self.seen - self.longest

    def get_max_length(self) -> int:
        return -1
