r"""Attention statistics of each head of a model on a text, computed without complete attention matrices.

The model reads the text in chunks against a growing key/value cache. In each layer the weights of one chunk,
[heads, chunk, length] in float32, are reduced to sums over its queries and dropped, so memory is bounded by one layer
of one chunk. The sums are in float64.

For a query at position q and a key at position k, at distance d = q - k, the mass of a head is split into four bands
that never overlap and sum to one:

* *sink*: the first ``sinks`` keys of the text (Xiao et al., *Efficient Streaming Language Models with Attention Sinks*,
  ICLR 2024),
* *local*: of the other keys, the last ``local`` ones, the query itself included (d < local),
* *recent*: local <= d < recent,
* *global*: the rest.

Only queries at positions from ``sinks + local`` on are counted, because earlier ones see only sinks and the local band.
The profile holds the mass of the keys that are not sinks by distance, in bins that double in width:
0, 1, 2 to 3, 4 to 7, and so on. Entropy is in nats. It grows with the length of the text, so compare heads on the same
text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.heads.attention_tap import AttentionTap
from dynatree.models.forward import hidden_states
from dynatree.models.kv_cache import TreeCache
from dynatree.models.supported import check_attention, plain_model


@dataclass(frozen=True)
class Bands:
    """The bands of keys, see the module.

    Args:
        sinks: first keys of the text.
        local: last keys, the query itself included.
        recent: keys at a smaller distance than this are recent or local.

    Raises:
        DynatreeError: an argument is too small.
    """

    sinks: int = 4
    local: int = 16
    recent: int = 128

    def __post_init__(self):
        if self.sinks < 1 or not 0 < self.local < self.recent:
            raise DynatreeError(
                f"sinks {self.sinks}, local {self.local} and recent {self.recent} do not fit: sinks >= 1 and "
                "0 < local < recent must hold"
            )

    @property
    def first(self) -> int:
        """Position of the first query that is counted."""
        return self.sinks + self.local


@dataclass(frozen=True)
class HeadStatistics:
    """Means over the counted queries of a text, each tensor [layers, heads] in float64.

    Attributes:
        entropy: entropy of the weights of a query, in nats.
        sink, local, recent, far: mass of the bands; they sum to one. ``far`` is the global one.
        profile: [layers, heads, bins], mass of the keys that are not sinks by distance; with ``sink`` it sums to one.
        edges: smallest distance of each bin.
        queries: number of queries.
    """

    entropy: torch.Tensor
    sink: torch.Tensor
    local: torch.Tensor
    recent: torch.Tensor
    far: torch.Tensor
    profile: torch.Tensor
    edges: list[int]
    queries: int


def measure_heads(
    model: PreTrainedModel, tokens: Sequence[int], bands: Bands | None = None, chunk: int = 128
) -> HeadStatistics:
    """Return the attention statistics of every query head of ``model`` over a text.

    Args:
        model: GPT-NeoX or Llama.
        tokens: ids of the text.
        bands: None for the defaults.
        chunk: queries per forward pass; changes memory and time, not the result.

    Returns:
        Means over the counted queries.

    Raises:
        DynatreeError: the architecture is not supported, the text is too short or too long, or ``chunk`` is below 1.
    """
    bands = bands or Bands()
    model = plain_model(model, "model")
    check_attention(model, "model")
    _check_length(len(tokens), bands, model.config.max_position_embeddings)
    if chunk < 1:
        raise DynatreeError(f"chunk must be 1 or more, not {chunk}")
    config = model.config
    edges = bin_edges(len(tokens))
    sums = _Sums(config.num_hidden_layers, config.num_attention_heads, bands, edges)
    cache = TreeCache(config.num_hidden_layers, len(tokens))
    ids = torch.tensor([list(tokens)], device=model.device)
    tap = AttentionTap(sums.add)
    with torch.inference_mode():
        for part in ids.split(chunk, dim=1):
            hidden_states(model, part, cache=cache, compressed=tap)
    return sums.means(len(tokens) - bands.first)


def bin_edges(length: int) -> list[int]:
    """Return the smallest distance of each bin of the profile of a text of ``length`` tokens: 0, 1, 2, 4, 8, ..."""
    return [0, *(2**power for power in range((length - 1).bit_length()))]


def _check_length(length: int, bands: Bands, positions: int) -> None:
    if length <= bands.first:
        raise DynatreeError(
            f"the text has {length} tokens, but queries count from position {bands.first} on (sinks + local); "
            "give a longer text"
        )
    if length > positions:
        raise DynatreeError(f"the text has {length} tokens, but the model has {positions} positions; shorten the text")


class _Sums:
    """Sums over queries."""

    def __init__(self, layers: int, heads: int, bands: Bands, edges: list[int]):
        self.bands, self.edges = bands, edges
        self.windows = torch.tensor([bands.local, bands.recent, *edges[1:]])
        self.entropy = torch.zeros(layers, heads, dtype=torch.float64)
        self.sink = torch.zeros(layers, heads, dtype=torch.float64)
        self.within = torch.zeros(layers, heads, len(self.windows), dtype=torch.float64)

    def add(self, layer: int, weights: torch.Tensor) -> None:
        """Add the queries of a chunk."""
        # weights: [heads, n, length]; the last query is at position length - 1
        n, length = weights.shape[1:]
        skipped = max(0, self.bands.first - (length - n))
        weights = weights[:, skipped:]
        if weights.shape[1]:
            positions = torch.arange(length - n + skipped, length, device=weights.device)
            self._add(layer, weights, positions)

    def _add(self, layer: int, weights: torch.Tensor, positions: torch.Tensor) -> None:
        # weights: [heads, m, length] of the counted queries; positions: [m]
        self.entropy[layer] += torch.special.entr(weights).sum(-1).double().sum(-1).cpu()
        before = torch.nn.functional.pad(weights.cumsum(-1), (1, 0))  # [heads, m, length + 1], mass of keys before each
        self.sink[layer] += before[..., self.bands.sinks].double().sum(-1).cpu()
        starts = (positions[:, None] + 1 - self.windows.to(positions.device)).clamp(
            min=self.bands.sinks
        )  # [m, windows]
        outside = before.gather(-1, starts.expand(len(weights), -1, -1))
        self.within[layer] += (before[..., -1:] - outside).double().sum(1).cpu()

    def means(self, queries: int) -> HeadStatistics:
        """Return the sums divided by the number of queries."""
        sink, within = self.sink / queries, self.within / queries
        local, recent, nearer = within[..., 0], within[..., 1], within[..., 2:]
        others = 1 - sink
        return HeadStatistics(
            entropy=self.entropy / queries,
            sink=sink,
            local=local,
            recent=recent - local,
            far=others - recent,
            profile=torch.diff(nearer, dim=-1, prepend=torch.zeros_like(sink)[..., None], append=others[..., None]),
            edges=self.edges,
            queries=queries,
        )
