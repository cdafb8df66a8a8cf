"""Sampling whose noise depends on the seed and the position only, so that speculation does not change the sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dynatree.errors import DynatreeError
from dynatree.models.transfer import upload

KEPT_POSITIONS = 64  # whose noise is remembered; a round comes back to the positions of the one before


@dataclass
class Sampler:
    """Draws by the Gumbel-max trick: the token of the largest logit plus noise is a draw from the softmax.

    The noise of a position is the same for every node of a tree that stands there, for the target and for the draft,
    whatever was drafted. So walking a tree while a child is the target's draw emits what drawing token by token
    emits, and a draft that sees the same noise guesses the draw better.

    Attributes:
        temperature: divides the logits.
        top_k: keep the k most likely tokens only; None for all.
        top_p: keep the most likely tokens that together just reach this probability; None for all.
        seed: of the noise.
        vocabulary: tokens of the target.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    vocabulary: int
    _noise: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def perturb(
        self, logits: torch.Tensor, positions: Sequence[int], token_map: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scores [n, tokens] in float32 whose largest entry is the draw; -inf for tokens that are cut off.

        Args:
            logits: [n, tokens].
            positions: position of each row; its successor is drawn.
            token_map: [tokens] ids that the columns stand for; None if they are the ids themselves.
        """
        scores = self._filtered(logits.float() / self.temperature)
        noise = torch.stack([self._noise_at(position) for position in positions])
        noise = upload(noise, scores.device)
        if token_map is not None:
            return scores + noise[:, token_map.clamp(max=self.vocabulary - 1)]  # tokens beyond it are never proposed
        shared = min(scores.shape[-1], self.vocabulary)
        scores[:, :shared] += noise[:, :shared]
        return scores

    def _filtered(self, scores: torch.Tensor) -> torch.Tensor:
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            ordered, order = scores.sort(dim=-1, descending=True, stable=True)
            probabilities = ordered.softmax(-1)
            beyond = probabilities.cumsum(-1) - probabilities >= self.top_p
            scores = scores.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
        return scores

    def _noise_at(self, position: int) -> torch.Tensor:
        """Gumbel noise [vocabulary], drawn on the CPU so that every device sees the same."""
        if position not in self._noise:
            if len(self._noise) >= KEPT_POSITIONS:
                del self._noise[min(self._noise)]
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + position) % 2**63)
            self._noise[position] = -torch.empty(self.vocabulary).exponential_(generator=generator).log()
        return self._noise[position]


def make_sampler(temperature: float, top_k: int | None, top_p: float | None, seed: int, vocabulary: int):
    """A sampler, or None where ``temperature`` is 0 and decoding greedy.

    Raises:
        DynatreeError: an argument is out of range, or has no meaning in greedy decoding.
    """
    if not isinstance(temperature, int | float) or not 0 <= temperature < float("inf"):
        raise DynatreeError(f"temperature must be a number of at least 0, not {temperature!r}")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise DynatreeError(f"top_k must be a whole number of at least 1, or None for all tokens, not {top_k!r}")
    if top_p is not None and (not isinstance(top_p, int | float) or not 0 < top_p <= 1):
        raise DynatreeError(f"top_p must lie above 0 and not above 1, or be None for all tokens, not {top_p!r}")
    if not isinstance(seed, int) or seed < 0:
        raise DynatreeError(f"seed must be a whole number of at least 0, not {seed!r}")
    if temperature == 0:
        if top_k is not None or top_p is not None:
            raise DynatreeError("top_k and top_p need a temperature above 0; at 0 decoding is greedy")
        return None
    return Sampler(temperature, top_k, top_p, seed, vocabulary)
