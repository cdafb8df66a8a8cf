"""A model with its key/value cache, for one request: passes over a tree, and what they say of the next tokens."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.forward import apply_head, hidden_states
from dynatree.models.kv_cache import TreeCache
from dynatree.models.sampling import Sampler
from dynatree.models.transfer import download, upload
from dynatree.models.trimmed_head import TrimmedHead

if TYPE_CHECKING:
    from dynatree.models.compiled import StaticModel


def _clocked(method):
    """Add the time that ``method`` of a :class:`ModelRunner` takes to the model's clock."""

    @functools.wraps(method)
    def clocked(self, *arguments, **options):
        start = self.clock()
        result = method(self, *arguments, **options)
        self._seconds += self.clock() - start
        return result

    return clocked


class ModelRunner:
    """A model with its key/value cache for one request.

    Args:
        model: the Hugging Face model.
        role: "target" or "draft", for messages.
        capacity: rows of the cache.
        proposals: number of token ids that may be proposed or emitted; rows of the head beyond it are ignored.
        sampler: perturbs logits; None for greedy decoding.
        cache: a compressed one, or the request's part of the cache of a batch; None for a cache of its own.
        clock: tells the time in seconds.
        static: makes its passes where their shapes can be static; None for ordinary passes. A cache that is given has
            ordinary passes.

    Attributes:
        passes: the new tokens of each forward pass so far and the rows that the cache held before it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        role: str,
        capacity: int,
        proposals: int | None = None,
        sampler: Sampler | None = None,
        cache: DecodingCache | None = None,
        clock: Callable[[], float] = time.perf_counter,
        static: "StaticModel | None" = None,
    ):
        self.model = model
        self.role = role
        self.static = static if cache is None else None
        self.cache: DecodingCache = cache or self._own_cache(capacity)
        self.head = model.get_output_embeddings()
        self.proposals = proposals
        self.sampler = sampler
        self.clock = clock
        self.passes: list[tuple[int, int]] = []
        self._seconds = 0.0

    def _own_cache(self, capacity: int) -> TreeCache:
        if self.static:
            return self.static.cache(capacity)
        return TreeCache(self.model.config.num_hidden_layers, capacity)

    def note_pass(self, new: int, seconds: float) -> None:
        """Take in that a pass over ``new`` tokens was made for this request by others."""
        self.passes.append((new, self.length))
        self._seconds += seconds

    def take_seconds(self) -> float:
        """Time spent in this model since the last call, from its inputs to ids on the host."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    @property
    def seconds(self) -> float:
        """Time spent in this model since :meth:`take_seconds`."""
        return self._seconds

    @property
    def length(self) -> int:
        """Tokens in the cache, evicted ones included."""
        return self.cache.length

    def cache_use(self) -> dict[str, int]:
        """The most "rows" and "bytes" that the cache held."""
        return {"rows": max((new + held for new, held in self.passes), default=0), "bytes": self.cache.max_bytes}

    @_clocked
    def forward(
        self,
        tokens: Sequence[int] | torch.Tensor,
        positions: Sequence[int],
        visible: torch.Tensor | None = None,
        last_only=False,
    ) -> torch.Tensor:
        """Run the model over new tokens and append their keys and values to the cache.

        Args:
            tokens: ids of the new tokens, a tensor [n] where they were not read from the device; an id beyond this
                model's embeddings (padding of the other model's vocabulary) is read as token 0.
            positions: place of each new token in the text.
            visible: boolean [n, rows]: which of the last ``rows`` cache rows, the new ones included, each new token
                attends to; all rows before them are visible. None for a chain.
            last_only: return the logits of the last new token only.

        Returns:
            Logits [n or 1, vocabulary of the head].
        """
        self.passes.append((len(tokens), self.cache.entries))
        cache = self.cache
        ids, places = self._ids(tokens), torch.tensor(positions) - cache.shift
        if self.static and self.static.serves(len(tokens), self.length):
            logits = self.static.forward(cache, ids, places, visible)
            return logits[-1:] if last_only else logits
        mask = cache.mask(len(tokens), visible)
        mask = mask if mask is None else upload(mask, ids.device)
        places = upload(places, ids.device)[None]
        hidden = hidden_states(self.model, ids[None], places, mask, cache, cache.compressed)[0]
        hidden = hidden[-1:] if last_only else hidden
        return apply_head(self.head, hidden)

    def _ids(self, tokens: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Ids [n] on the device that this model can read."""
        vocabulary = self.model.config.vocab_size
        if isinstance(tokens, torch.Tensor):
            ids = tokens.to(self.model.device)
            return ids.masked_fill(ids >= vocabulary, 0)
        return upload([token if token < vocabulary else 0 for token in tokens], self.model.device)

    @_clocked
    def perturb(self, logits: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
        """Scores whose largest entry is the token drawn at each of ``positions``; ``logits`` when greedy."""
        if self.sampler is None:
            return logits
        token_map = self.head.token_map if isinstance(self.head, TrimmedHead) else None
        return self.sampler.perturb(logits, positions, token_map)

    def predict(self, logits: torch.Tensor) -> list[int]:
        """The most likely token of each row of ``logits`` [n, vocabulary]; the first one of several equal.

        Raises:
            DynatreeError: a logit is not a number.
        """
        return self.predict_and_read(logits, ())[0]

    @_clocked
    def predict_and_read(self, logits: torch.Tensor, others: Sequence[torch.Tensor]) -> tuple[list[int], list[list]]:
        """As :meth:`predict`; and ``others`` as lists, which the same transfer brings to the host."""
        values, ids, *rest = download(*logits.max(dim=-1), *(other.to(logits.device) for other in others))
        if not all(map(math.isfinite, values)):
            raise DynatreeError(_not_finite(self.role, self.model))
        return [int(token) for token in ids], rest

    @_clocked
    def rank(self, logits: torch.Tensor, most: int) -> tuple[list[list[int]], list[list[float]]]:
        """The ``most`` likely tokens of each row of ``logits`` and their log-probabilities, best first.

        Probabilities are those over all rows of the head. Ids the other model does not have are left out, or come last
        with a log-probability of minus infinity.

        Raises:
            DynatreeError: a logit is not a number.
        """
        ids, log_probs = download(*self._best(logits, most))
        for row in log_probs:
            self.check_numbers(row)
        return [[int(token) for token in row] for row in ids], log_probs

    def check_numbers(self, log_probs: Sequence[float]) -> None:
        """Raise unless log-probabilities that :meth:`best` gave are numbers."""
        if any(map(math.isnan, log_probs)):
            raise DynatreeError(_not_finite(self.role, self.model))

    @_clocked
    def best(self, logits: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What :meth:`rank` reads, on the device: ids and log-probabilities [n, ``most`` or all that the head has]."""
        return self._best(logits, most)

    def _best(self, logits: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        logits = logits.float()
        normaliser = logits.logsumexp(-1, keepdim=True)  # [n, 1]
        if isinstance(self.head, TrimmedHead):
            foreign = self._foreign_rows()
            logits = logits if foreign is None else logits.masked_fill(foreign, -torch.inf)
        elif self.proposals is not None:
            logits = logits[:, : self.proposals]
        scores, ids = logits.topk(min(most, logits.shape[-1]))
        if isinstance(self.head, TrimmedHead):
            ids = self.head.token_map[ids]
        return ids, scores - normaliser

    def _foreign_rows(self) -> torch.Tensor | None:
        """Boolean [tokens]: rows of a trimmed head that stand for ids the other model does not have."""
        if self.proposals is None or self.proposals >= self.head.vocabulary:
            return None
        return self.head.token_map >= self.proposals


def _not_finite(role: str, model: PreTrainedModel) -> str:
    name = model.config._name_or_path or type(model).__name__
    return (
        f"the {role} model {name} returned logits that are not finite; check its weights and its dtype ({model.dtype})"
    )
