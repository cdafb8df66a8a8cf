"""What a compression method decides, and what all methods share.

A method is a pure function from the rows of one layer's cache to the rows that stay. It holds no model and no cache,
so the same object serves a cache of Hugging Face, a buffer of this package, and a test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dynatree.errors import DynatreeError
from dynatree.utils.validate import at_least

TIMES = ("prefill", "decode", "both")
Kept = torch.Tensor | list[torch.Tensor]


@dataclass(kw_only=True)
class Method:
    """Decides which rows of a cache stay; never touches a model.

    Attributes:
        skip_layers: layers whose cache is left alone.
        every: compress a layer when at least so many tokens have come since it was compressed last; in between it
            grows.
        when: "prefill" compresses after passes over several tokens, "decode" after passes over one, "both" after all.
        observed_queries: of how many of a pass's last tokens the method wants to see the attention.
        accumulates: whether attention seen before a compression matters after it even if the method is only used on
            prompts.
        ragged: whether heads of a layer may keep different numbers of rows.
        rotates: whether kept keys are rotated to consecutive positions.
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
        """The rows that stay.

        Args:
            keys, values: [kv_heads, length, head_dim], rows in the order of their positions.
            attention: what :meth:`observe` made of the attention, [kv_heads, queries, length]; None if the method
                observes nothing.
            positions: [kv_heads, length] place of each row in the text; -1 where a head has no such row, which only
                happens after a selection that kept different numbers of rows.
            seen: tokens that the layer has taken in, evicted ones included.
            layer: index of the layer.

        Returns:
            Increasing indices of rows: [kept] for all heads, [kv_heads, kept], or a list of one [kept] per head.
        """
        raise NotImplementedError

    def observe(self, before: torch.Tensor | None, weights: torch.Tensor) -> torch.Tensor:
        """What to remember of the attention, for :meth:`select`.

        Args:
            before: what was remembered, [kv_heads, queries, length]; 0 for rows that are new; None at first.
            weights: [kv_heads, n, length] attention of further tokens in float32, the mean over the query heads that
                share a key/value head.
        """
        raise NotImplementedError

    def covers(self, layer: int, new: int) -> bool:
        """Whether the method applies to ``layer`` after a pass over ``new`` tokens."""
        time = "prefill" if new > 1 else "decode"
        return layer not in self.skip_layers and self.when in (time, "both")

    def check_model(self, layers: int, heads: int, kv_heads: int) -> None:
        """Raise unless the method fits a model of ``layers`` layers with ``heads`` and ``kv_heads`` heads each."""
        beyond = [layer for layer in self.skip_layers if layer >= layers]
        if beyond:
            raise DynatreeError(f"skip_layers names layer {beyond[0]}, but the model has layers 0 to {layers - 1}")


@dataclass(kw_only=True)
class Budgeted(Method):
    """A method that keeps a number of rows per head.

    Attributes:
        budget: rows that stay.
        keep_ratio: instead of ``budget``, the share in (0, 1] of the tokens *seen* that stays, so that compressing
            after every token does not shrink the cache again and again.
    """

    budget: int | None = None
    keep_ratio: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.budget is None) == (self.keep_ratio is None):
            raise DynatreeError("give either budget (rows that stay) or keep_ratio (share of the tokens that stays)")
        if self.budget is not None:
            at_least(1, budget=self.budget)
            self._check_budget(self.budget)
        elif not isinstance(self.keep_ratio, int | float) or not 0 < self.keep_ratio <= 1:
            raise DynatreeError(
                f"keep_ratio must lie above 0 and not above 1 (1 - the share removed), not {self.keep_ratio!r}"
            )

    @property
    def protected(self) -> dict[str, int]:
        """Rows that stay in any case, by the option that asks for them."""
        return {}

    def _check_budget(self, budget: int) -> None:
        needed = sum(self.protected.values())
        if budget < needed:
            what = " + ".join(f"{name} ({rows})" for name, rows in self.protected.items())
            raise DynatreeError(f"budget ({budget}) is below {what}; raise it to at least {needed}")

    def rows(self, seen: int) -> int:
        """Rows that may stay of ``seen`` tokens."""
        if self.budget is not None:
            return self.budget
        share = math.ceil(round(self.keep_ratio * seen, 6))  # 0.1 * 30 is a little more than 3
        return max(share, sum(self.protected.values()), 1)

    def select(self, keys, values, attention, positions, seen, layer) -> Kept:
        count, length = self.rows(seen), keys.shape[1]
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
        """As :meth:`select`, where ``count`` of more rows stay."""
        raise NotImplementedError


def highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Increasing indices [kv_heads, count] of the highest ``scores`` [kv_heads, length]; the earlier of equal ones."""
    return scores.argsort(dim=-1, descending=True, stable=True)[:, :count].sort(dim=-1).values


def with_recent(kept: torch.Tensor, recent: int, length: int) -> torch.Tensor:
    """The indices ``kept`` [kv_heads, n] followed by those of the last ``recent`` of ``length`` rows."""
    last = torch.arange(length - recent, length, device=kept.device)
    return torch.cat((kept, last.expand(len(kept), recent)), dim=1)


def gather_rows(states: torch.Tensor, kept: Kept, fill: float = 0) -> torch.Tensor:
    """The kept rows of ``states`` [kv_heads, length, ...] as a new tensor [kv_heads, most kept, ...].

    Heads that keep fewer rows than others begin with rows of ``fill``, so that the newest rows stand at the end.
    """
    if isinstance(kept, list):
        most = max(map(len, kept))
        gathered = states.new_full((len(kept), most, *states.shape[2:]), fill)
        for head, rows in enumerate(kept):
            gathered[head, most - len(rows) :] = states[head % len(states), rows]
        return gathered
    if kept.ndim == 1:
        return states.index_select(1, kept)
    heads = torch.arange(len(kept), device=kept.device)[:, None] % len(states)
    return states[heads, kept]
