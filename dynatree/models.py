"""A target and its draft, and the forward pass of either over a tree.

Only this file and the cache know the internals of transformers.
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.attention import grouped
from dynatree.cache import BatchRow, TreeCache
from dynatree.errors import DynatreeError
from dynatree.sampling import Sampler
from dynatree.transfer import download, upload
from dynatree.trimming import TrimmedHead

if TYPE_CHECKING:
    from dynatree.static import StaticModel

ARCHITECTURES = ("gpt_neox", "llama")


def apply_head(head: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [n, rows of the head] at ``hidden`` [n, hidden_size].

    In float32 on a CPU, MKL multiplies the tall weight by a few columns faster than a few rows by the wide weight.
    """
    plain = type(head) is TrimmedHead or (type(head) is torch.nn.Linear and head.bias is None)
    if plain and len(hidden) > 1 and hidden.device.type == "cpu" and hidden.dtype == torch.float32:
        return (head.weight @ hidden.T).T
    return head.trimmed(hidden) if isinstance(head, TrimmedHead) else head(hidden)


@dataclass
class ModelPair:
    """A target model and the draft that proposes for it.

    Args:
        target: Hugging Face causal language model, GPT-NeoX or Llama architecture.
        draft: a smaller one over the same tokens, possibly on another device or in another dtype; None if only
            autoregressive decoding is wanted.
        tokenizer: turns prompts into token ids and back; without one, prompts must be token ids.

    Attributes:
        learnt: what decoding has learnt of the pair, for later requests; no tokens of any.
        clock: tells the time in seconds.
        static: passes of static shapes, by "target" and "draft"; see :func:`dynatree.compile_pair`.

    Raises:
        DynatreeError: an architecture is not supported or the vocabularies do not fit.
    """

    target: PreTrainedModel
    draft: PreTrainedModel | None = None
    tokenizer: Any = None
    learnt: dict = field(default_factory=dict, init=False, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.perf_counter, init=False, repr=False, compare=False)
    static: dict[str, "StaticModel"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        check_architecture(self.target, "target")
        self.target.eval()
        if self.draft is not None:
            check_architecture(self.draft, "draft")
            check_vocabularies(self.target, self.draft, self.tokenizer)
            self.draft.eval()

    @property
    def device(self) -> torch.device:
        """Device of the target."""
        return self.target.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the target."""
        return self.target.dtype


def check_architecture(model: PreTrainedModel, role: str) -> None:
    """Raise unless the model's architecture is one whose tree forward pass is exact."""
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise DynatreeError(f"the {role} is a {kind!r} model; supported are {', '.join(ARCHITECTURES)}")


def check_vocabularies(target: PreTrainedModel, draft: PreTrainedModel, tokenizer=None) -> None:
    """Raise unless the draft can read every token the target may emit.

    Rows beyond the tokenizer's own tokens are padding and may differ in number.
    """
    needed = min(target.config.vocab_size, len(tokenizer)) if tokenizer is not None else target.config.vocab_size
    if draft.config.vocab_size < needed:
        raise DynatreeError(
            f"the draft knows {draft.config.vocab_size} tokens, but the target may emit any of {needed}; "
            "choose a draft with the target's tokenizer"
        )


def hidden_states(
    model: PreTrainedModel,
    ids: torch.Tensor,
    positions: torch.Tensor,
    mask: torch.Tensor | None,
    cache: Cache,
    compressed: Cache | None = None,
) -> torch.Tensor:
    """The last hidden states [batch, n, hidden] at new tokens, whose keys and values ``cache`` then holds.

    Args:
        model: target or draft.
        ids, positions: [batch, n].
        mask: boolean [batch, 1, n, rows], which transformers passes through unchanged; None where causal is right.
        cache: of this package.
        compressed: the cache again if it gives each layer a mask of its own, see :mod:`dynatree.attention`.
    """
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "past_key_values": cache}
    with grouped(model):
        return model.base_model(**inputs, use_cache=True, compressed=compressed).last_hidden_state


def head_rows(model: PreTrainedModel) -> int:
    """Tokens that the output head scores."""
    head = model.get_output_embeddings()
    return len(head.token_map) if isinstance(head, TrimmedHead) else model.config.vocab_size


def _clocked(method):
    """Add the time that ``method`` of a :class:`CachedModel` takes to the model's clock."""

    @functools.wraps(method)
    def clocked(self, *arguments, **options):
        start = self.clock()
        result = method(self, *arguments, **options)
        self._seconds += self.clock() - start
        return result

    return clocked


class CachedModel:
    """A model with its key/value cache for one request.

    Args:
        model: the Hugging Face model.
        role: "target" or "draft", for messages.
        capacity: rows of the cache.
        proposals: number of token ids that may be proposed or emitted; rows of the head beyond it are ignored.
        sampler: perturbs logits; None for greedy decoding.
        cache: a compressed one, or the request's part of the cache of a batch; None for a cache of its own.
        clock: tells the time in seconds.
        static: makes its passes where their shapes can be static; None for ordinary passes.

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
        cache: BatchRow | Cache | None = None,
        clock: Callable[[], float] = time.perf_counter,
        static: "StaticModel | None" = None,
    ):
        self.model = model
        self.role = role
        self.static = static
        self.cache = cache or self._own_cache(capacity)
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
        return {"rows": max((new + held for new, held in self.passes), default=0), "bytes": self.cache.most_bytes}

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
        self.passes.append((len(tokens), self.cache.rows))
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
