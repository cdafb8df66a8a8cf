"""The interface of a compression method, and helpers that all methods share.

A method is a pure function from the entries of one layer's cache to the entries that stay. It holds no model and no
cache, so one object serves a Hugging Face cache, a buffer of this package, and a test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dynatree.errors import DynatreeError
from dynatree.utils.validate import at_least, real_number

TIMES = ("prefill", "decode", "both")
Kept = torch.Tensor | list[torch.Tensor]


@dataclass(kw_only=True)
class Method:
    """Decides which entries of a cache stay.

    Attributes:
        skip_layers: layers that are not compressed.
        every: tokens after which a layer is compressed again; in between it grows.
        when: "prefill" compresses after passes over several tokens, "decode" after passes over one, "both" after all.
        observed_queries: number of last tokens of a pass whose attention :meth:`observe` receives.
        accumulates: True if attention observed before a compression matters after it, even if only prompts are
            compressed.
        ragged: True if heads of a layer may keep different numbers of entries.
        rotates: True if kept keys are rotated to consecutive positions.
    """

    observed_queries: ClassVar[int] = 0
    accumulates: ClassVar[bool] = False
    ragged: ClassVar[bool] = False
    rotates: ClassVar[bool] = False
    skip_layers: Sequence[int] = ()
    every: int = 1
    when: str = "both"

    def __post_init__(self):
        if not isinstance(self.skip_layers, list | tuple):
            raise DynatreeError(f"skip_layers must be a list of layers such as [0, 1], not {self.skip_layers!r}")
        for layer in self.skip_layers:
            at_least(0, skip_layers=layer)
        at_least(1, every=self.every)
        if self.when not in TIMES:
            raise DynatreeError(f"when must be one of {', '.join(TIMES)}, not {self.when!r}")

    def select(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention: torch.Tensor | None,
        positions: torch.Tensor,
        seen: int,
        layer: int,
    ) -> Kept:
        """Return the entries that stay.

        Args:
            keys: [kv_heads, length, head_dim], entries in the order of their positions.
            values: like ``keys``.
            attention: result of :meth:`observe`, [kv_heads, queries, length]; None if the method observes nothing.
            positions: [kv_heads, length] index of each entry in the text; -1 where a head has no entry, which only
                happens after a selection that kept different numbers of entries.
            seen: tokens that the layer has seen, evicted ones included.
            layer: index of the layer.

        Returns:
            Increasing indices of entries: [kept] for all heads, [kv_heads, kept], or a list of one [kept] per head.
        """
        raise NotImplementedError

    def observe(self, before: torch.Tensor | None, weights: torch.Tensor) -> torch.Tensor:
        """Return the attention that :meth:`select` uses, updated by that of further tokens.

        Args:
            before: the previous result, [kv_heads, queries, length], 0 for new entries; None at first.
            weights: [kv_heads, n, length] attention of further tokens in float32, the mean over the query heads that
                share a key/value head.
        """
        raise NotImplementedError

    def max_entries(self, seen: int) -> int:
        """Return the number of entries that may stay of ``seen`` tokens."""
        return seen

    def covers(self, layer: int, new: int) -> bool:
        """Return True if the method applies to ``layer`` after a pass over ``new`` tokens."""
        time = "prefill" if new > 1 else "decode"
        return layer not in self.skip_layers and self.when in (time, "both")

    def check_model(self, layers: int, heads: int, kv_heads: int) -> None:
        """Raise unless the method fits a model of ``layers`` layers with ``heads`` and ``kv_heads`` heads each."""
        beyond = [layer for layer in self.skip_layers if layer >= layers]
        if beyond:
            raise DynatreeError(f"skip_layers names layer {beyond[0]}, but the model has layers 0 to {layers - 1}")


@dataclass(kw_only=True)
class Budgeted(Method):
    """A method that keeps a number of entries per head.

    Attributes:
        budget: entries that stay.
        keep_ratio: instead of ``budget``, the share in (0, 1] of the tokens *seen* that stays. A share of the entries
            would shrink the cache at every compression.
    """

    budget: int | None = None
    keep_ratio: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.budget is None) == (self.keep_ratio is None):
            raise DynatreeError("give either budget (entries that stay) or keep_ratio (share of the tokens that stays)")
        if self.budget is not None:
            at_least(1, budget=self.budget)
            self._check_budget(self.budget)
        elif not 0 < (real_number(self.keep_ratio) or 0) <= 1:
            raise DynatreeError(
                f"keep_ratio must lie above 0 and not above 1 (1 - the share removed), not {self.keep_ratio!r}"
            )

    @property
    def protected(self) -> dict[str, int]:
        """Entries that always stay, by the option that sets their number."""
        return {}

    def _check_budget(self, budget: int) -> None:
        needed = sum(self.protected.values())
        if budget < needed:
            what = " + ".join(f"{name} ({count})" for name, count in self.protected.items())
            raise DynatreeError(f"budget ({budget}) is below {what}; raise it to at least {needed}")

    def max_entries(self, seen: int) -> int:
        if self.budget is not None:
            return self.budget
        assert self.keep_ratio is not None
        share = math.ceil(round(self.keep_ratio * seen, 6))  # 0.1 * 30 is a little more than 3
        return max(share, sum(self.protected.values()), 1)

    def select(self, keys, values, attention, positions, seen, layer) -> Kept:
        count, length = self.max_entries(seen), keys.shape[1]
        if length <= count:
            return torch.arange(length, device=keys.device)
        return self.choose(count, keys, values, attention, positions, layer)

    def choose(
        self,
        count: int,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention: torch.Tensor | None,
        positions: torch.Tensor,
        layer: int,
    ) -> Kept:
        """Return the ``count`` entries that stay of more than ``count``; see :meth:`select`."""
        raise NotImplementedError


def highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return increasing indices [kv_heads, count] of the highest ``scores`` [kv_heads, length]; ties: the earlier."""
    return scores.argsort(dim=-1, descending=True, stable=True)[:, :count].sort(dim=-1).values


def with_recent(kept: torch.Tensor, recent: int, length: int) -> torch.Tensor:
    """Return the indices ``kept`` [kv_heads, n] followed by those of the last ``recent`` of ``length`` entries."""
    last = torch.arange(length - recent, length, device=kept.device)
    return torch.cat((kept, last.expand(len(kept), recent)), dim=1)


def gather_entries(states: torch.Tensor, kept: Kept, fill: float = 0) -> torch.Tensor:
    """Return the kept entries of ``states`` [kv_heads, length, ...] as a new tensor [kv_heads, longest, ...].

    Heads that keep fewer entries than the longest begin with ``fill``, so that the newest entries are last.
    """
    if isinstance(kept, list):
        longest = max(map(len, kept))
        gathered = states.new_full((len(kept), longest, *states.shape[2:]), fill)
        for head, entries in enumerate(kept):
            gathered[head, longest - len(entries) :] = states[head % len(states), entries]
        return gathered
    if kept.ndim == 1:
        return states.index_select(1, kept)
    heads = torch.arange(len(kept), device=kept.device)[:, None] % len(states)
    return states[heads, kept]
