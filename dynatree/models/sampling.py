"""Gumbel-max sampling whose noise depends only on seed and position, so speculation does not change the sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from dynatree.errors import DynatreeError
from dynatree.models.transfer import upload
from dynatree.utils.validate import real_number, whole_number

MAX_CACHED_POSITIONS = 64  # consecutive rounds use overlapping positions
Warper = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_NO_TOKENS = torch.empty(0, 0, dtype=torch.int64)  # warpers use the scores alone


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn, as :func:`dynatree.generate` takes it.

    Attributes:
        temperature: divides the logits; 0 for greedy decoding.
        top_k: draw from the k most likely tokens only; None for all.
        top_p: draw from the smallest set of most likely tokens that reaches this probability; None for all.
        seed: seed of the draws.
        warpers: functions of transformers that change the logits in this order, instead of the options above; None
            for these options.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    warpers: tuple[Warper, ...] | None = None


@dataclass
class Sampler:
    """A Gumbel-max sampler: the token with the largest sum of logit and noise is a draw from the softmax.

    The noise of a position is the same for the target, the draft and every node of a tree at that position. Walking a
    tree while a child is the target's draw therefore emits the same tokens as drawing one by one. A draft that uses the
    same noise predicts the draws better.

    Attributes:
        temperature: divides the logits.
        top_k: keep the k most likely tokens only; None for all.
        top_p: keep the smallest set of most likely tokens that reaches this probability; None for all.
        seed: seed of the noise.
        vocabulary: number of tokens of the target.
        warpers: see :class:`SamplingOptions`.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    vocabulary: int
    warpers: tuple[Warper, ...] | None = None
    _noise: dict[torch.device, dict[int, torch.Tensor]] = field(default_factory=dict, init=False, repr=False)

    def add_gumbel_noise(
        self, logits: torch.Tensor, positions: Sequence[int], token_map: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return scores [n, tokens] in float32 whose largest entry is the draw; -inf for tokens that are cut off.

        Args:
            logits: [n, tokens].
            positions: position of each row; its successor is drawn.
            token_map: [tokens] token id of each column; None if column and id agree.
        """
        scores = self._warped(logits.float())
        if token_map is not None:
            noise = self._noise_at(positions, scores.device)
            return scores + noise[:, token_map.clamp(max=self.vocabulary - 1)]  # larger ids are never proposed
        return self.add_noise(scores, positions)

    def add_noise(self, scores: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
        """Add the noise of each position to scores [n, tokens] that warpers have changed already, in place."""
        noise = self._noise_at(positions, scores.device)
        shared = min(scores.shape[-1], self.vocabulary)
        scores[:, :shared] += noise[:, :shared]
        return scores

    def _warped(self, scores: torch.Tensor) -> torch.Tensor:
        if self.warpers is None:
            return self._filtered(scores / self.temperature)
        scores = scores.clone()  # the logits stay as they are
        for warper in self.warpers:
            scores = warper(_NO_TOKENS, scores)
        return scores

    def _filtered(self, scores: torch.Tensor) -> torch.Tensor:
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            smallest = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < smallest, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            ordered, order = scores.sort(dim=-1, descending=True, stable=True)
            probabilities = ordered.softmax(-1)
            beyond = probabilities.cumsum(-1) - probabilities >= self.top_p
            beyond[..., 0] = False
            scores = scores.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
        return scores

    def _noise_at(self, positions: Sequence[int], device: torch.device) -> torch.Tensor:
        """Gumbel noise [n, vocabulary]; the noise of a position is uploaded once, and its nodes share it."""
        held = self._noise.setdefault(device, {})
        distinct = sorted(set(positions))
        for position in distinct:
            if position not in held:
                held[position] = upload(self._drawn(position), device)
        noise = torch.stack([held[position] for position in distinct])
        for position in sorted(held)[: max(0, len(held) - MAX_CACHED_POSITIONS)]:
            del held[position]
        if list(positions) == distinct:
            return noise
        rows = {position: row for row, position in enumerate(distinct)}
        return noise.index_select(0, upload([rows[position] for position in positions], device))

    def _drawn(self, position: int) -> torch.Tensor:
        """Gumbel noise [vocabulary], drawn on the CPU so that it is the same for every device."""
        generator = torch.Generator("cpu").manual_seed((self.seed * 1_000_003 + position) % 2**63)
        return -torch.empty(self.vocabulary, dtype=torch.float32).exponential_(generator=generator).log()


def make_sampler(options: SamplingOptions, vocabulary: int) -> Sampler | None:
    """Return a sampler; None for greedy decoding.

    Args:
        options: how tokens are drawn.
        vocabulary: number of tokens of the target.

    Raises:
        DynatreeError: an option is out of range, or has no meaning in greedy decoding.
    """
    seed = whole_number("seed", options.seed, 0)
    if options.warpers is not None:
        return Sampler(1.0, None, None, seed, vocabulary, options.warpers)
    temperature, top_k, top_p = real_number(options.temperature), options.top_k, options.top_p
    if temperature is None or not 0 <= temperature < float("inf"):
        raise DynatreeError(f"temperature must be a number of at least 0, not {options.temperature!r}")
    if top_k is not None:
        top_k = whole_number("top_k", top_k, 1, ", or None for all tokens")
    if top_p is not None:
        top_p = real_number(top_p)
        if top_p is None or not 0 <= top_p <= 1:
            raise DynatreeError(f"top_p must lie in [0, 1], or be None for all tokens, not {options.top_p!r}")
    if temperature == 0:
        if top_k is not None or top_p is not None:
            raise DynatreeError("top_k and top_p need a temperature above 0; at 0 decoding is greedy")
        return None
    return Sampler(temperature, top_k, top_p, seed, vocabulary)
