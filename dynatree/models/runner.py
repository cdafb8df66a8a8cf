"""A model with the key/value cache of one request: forward passes over a tree, and the tokens they predict."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.chain_cache import ChainCache
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.forward import forward_logits
from dynatree.models.kernels.ranking import largest_score, scores_by_kernel, top_tokens
from dynatree.models.largest_logits import largest, top_successors
from dynatree.models.modes import implementation_of, new_cache
from dynatree.models.path_cache import PathCache, Tree
from dynatree.models.sampling import Sampler
from dynatree.models.state_embedding import given_states, kept_states
from dynatree.models.transfer import download, finish, input_device, upload
from dynatree.models.trimmed_head import TrimmedHead, output_head
from dynatree.tree import TokenTree
from dynatree.utils.stopwatch import Stopwatch

if TYPE_CHECKING:
    from dynatree.models.graphs import GraphedModel
    from dynatree.models.kv_cache import TreeCache
    from dynatree.models.strict import StrictModel

ESTIMATED_BELOW = 6.0  # distance from the best logit; changes a log-probability by at most 0.1

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _timed(
    method: Callable[Concatenate["ModelRunner", Arguments], Result],
) -> Callable[Concatenate["ModelRunner", Arguments], Result]:
    """Add the seconds of each call to the runner's stopwatch."""

    @functools.wraps(method)
    def timed(self: "ModelRunner", *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        with self.stopwatch:
            return method(self, *arguments, **options)

    return timed


class ModelRunner:
    """A model with the key/value cache of one request.

    Args:
        model: the Hugging Face model.
        role: "target" or "draft", for messages.
        capacity: entries of the cache.
        proposals: number of token ids that may be proposed or emitted; the head's larger ids are ignored.
        sampler: adds noise to logits; None for greedy decoding.
        cache: a compressed cache or one request's part of the cache of a batch; None for a cache of its own.
        clock: returns the current time in seconds.
        static: repeats recorded forward passes; None for ordinary ones. A given ``cache`` needs ordinary ones.
        strict: runs forward passes over trees with the bits of plain decoding; None for ordinary ones.

    Attributes:
        keeps_states: True while ordinary forward passes set ``states``.
        states: [n, hidden_size] last hidden states of the newest forward pass; None before it.
        passes: new tokens of each forward pass so far, and the cache entries before it.
        stopwatch: seconds spent in the model, from its inputs to token ids on the host.
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
        static: "GraphedModel | None" = None,
        strict: "StrictModel | None" = None,
    ):
        self.model = model
        self.role = role
        self.strict = strict
        self.static = static if cache is None else None
        self.cache: DecodingCache = self._own_cache(capacity) if cache is None else cache
        self.head = output_head(model)
        self._vocabulary = model.config.get_text_config().vocab_size
        self._device = input_device(model)
        self._ranks_by_kernel = scores_by_kernel(self.head)
        self.proposals = proposals
        self.sampler = sampler
        self.keeps_states = False
        self.states: torch.Tensor | None = None
        self.passes: list[tuple[int, int]] = []
        self.stopwatch = Stopwatch(clock)

    def _own_cache(self, capacity: int) -> DecodingCache:
        if self.strict:
            return self.strict.cache(capacity)
        recorded = self.static.cache(capacity) if self.static else None
        return new_cache(self.model, capacity) if recorded is None else recorded

    def record_shared_pass(self, new: int, seconds: float) -> None:
        """Record a forward pass of a batch that included this request.

        Args:
            new: new tokens of this request.
            seconds: duration of the forward pass.
        """
        self.passes.append((new, self.length))
        self.stopwatch.add(seconds)

    @property
    def reads_chains(self) -> bool:
        """True if a chain needs no mask, because models that are recorded attend to all earlier entries in order."""
        return self.static is not None

    def ancestors(self, tree: TokenTree) -> torch.Tensor | None:
        """Return which nodes each node of a tree attends to, see :meth:`forward`; None for a chain."""
        return None if len(tree) == 1 or (tree.is_chain and self.reads_chains) else tree.ancestors

    @property
    def length(self) -> int:
        """Tokens in the cache, evicted ones included."""
        return self.cache.length

    def cache_use(self) -> dict[str, int]:
        """Return the largest "rows" (entries) and "bytes" of the cache so far."""
        return {"rows": max((new + held for new, held in self.passes), default=0), "bytes": self.cache.max_bytes}

    @_timed
    def forward(
        self,
        tokens: Sequence[int] | torch.Tensor,
        positions: Sequence[int],
        visible: torch.Tensor | None = None,
        last_only: bool = False,
        states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the model over new tokens and append their keys and values to the cache.

        Args:
            tokens: ids of the new tokens; a tensor [n] if they are still on the device. An id without an embedding
                (padding of the other model's vocabulary) is replaced by token 0.
            positions: index of each new token in the text.
            visible: boolean [n, entries]: which of the last ``entries`` cache entries, the new ones included, each new
                token attends to. All earlier entries are visible. None for a chain.
            last_only: return the logits of the last new token only.
            states: [n, hidden_size] hidden states before the new tokens, for a draft that reads them.

        Returns:
            Logits [n or 1, vocabulary of the head].
        """
        cache = self.cache
        self.passes.append((len(tokens), cache.entries))
        if self.strict and self.length:
            return self.strict.forward([self.tree(tokens, positions, visible)])[0]
        known = self._known(tokens)
        if self.static and self.static.serves(cache, len(tokens), visible):
            logits = self.static.forward(cast("TreeCache", cache), known, positions, visible)
            return logits[-1:] if last_only else logits
        ids, position_ids = upload(known, self._device), torch.tensor(positions) - cache.shift
        if isinstance(cache, ChainCache):
            return cache.forward(ids, positions, visible, last_only)
        layout = cache.layout(positions, visible)
        position_ids = upload(position_ids, ids.device)[None]
        with given_states(self.model, None if states is None else states[None]), self._states_kept():
            return forward_logits(
                self.model,
                ids[None],
                position_ids,
                layout,
                cache,
                last_only,
                compressed=cache.compressed,
                implementation=implementation_of(self.model),
            )[0]

    @contextmanager
    def _states_kept(self) -> Iterator[None]:
        """Set ``states`` to those of the forward pass in the block if they are kept."""
        if not self.keeps_states:
            yield
            return
        with kept_states(self.model) as kept:
            yield
        self.states = kept[0][0]

    def tree(
        self, tokens: Sequence[int] | torch.Tensor, positions: Sequence[int], visible: torch.Tensor | None
    ) -> Tree:
        """Return the arguments of :meth:`forward` as a tree of the strict model."""
        return Tree(
            cast(PathCache, self.cache),
            upload(self._known(tokens), self._device),
            torch.tensor(positions),
            visible,
        )

    def prefill(self, prompt: Sequence[int]) -> None:
        """Run the model over the rest of a prompt, of which no logit is read, and count the device's time, too."""
        self.forward(prompt[self.length :], range(self.length, len(prompt)), last_only=True)
        with self.stopwatch:
            finish(self.model.device)

    def _known(self, tokens: Sequence[int] | torch.Tensor) -> Sequence[int] | torch.Tensor:
        """Ids within the model's embeddings; a tensor [n] on the device if they are on one."""
        vocabulary = self._vocabulary
        if isinstance(tokens, torch.Tensor):
            ids = tokens.to(self._device)
            return ids.masked_fill(ids >= vocabulary, 0)
        return [token if token < vocabulary else 0 for token in tokens]

    @_timed
    def add_gumbel_noise(self, logits: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
        """Return scores whose largest entry is the token drawn at each position; ``logits`` itself when greedy.

        Args:
            logits: [n, vocabulary of the head].
            positions: index in the text of the token of each row.
        """
        if self.sampler is None:
            return logits
        token_map = self.head.token_map if isinstance(self.head, TrimmedHead) else None
        return self.sampler.add_gumbel_noise(logits, positions, token_map)

    def predict(self, logits: torch.Tensor) -> list[int]:
        """Return the most likely token of each row; the smallest id among equals.

        Args:
            logits: [n, vocabulary].

        Raises:
            DynatreeError: a logit is not a number.
        """
        return self.predict_and_materialize(logits, ())[0]

    @_timed
    def predict_and_materialize(
        self, logits: torch.Tensor, device_tensors: Sequence[torch.Tensor]
    ) -> tuple[list[int], list[Any]]:
        """Return the tokens of :meth:`predict`, and other tensors as lists, in one transfer to the host.

        Args:
            logits: [n, vocabulary].
            device_tensors: tensors to transfer along.

        Raises:
            DynatreeError: a logit is not a number.
        """
        search = largest_score if self._ranks_by_kernel and logits.dtype is torch.float32 else largest
        values, ids, *rest = download(*search(logits), *(one.to(logits.device) for one in device_tensors))
        if not all(map(math.isfinite, values)):
            raise DynatreeError(_not_finite(self.role, self.model))
        return [int(token) for token in ids], rest

    def top_successors(self, logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what :func:`dynatree.models.largest_logits.top_successors` returns."""
        if self._ranks_by_kernel and logits.dtype is torch.float32:
            return top_tokens(logits, count, margin=ESTIMATED_BELOW)
        return top_successors(logits, count)

    @_timed
    def materialize(self, device_tensors: Sequence[torch.Tensor]) -> list[Any]:
        """Return tensors as lists, in one transfer to the host."""
        return download(*(one.to(device_tensors[0].device) for one in device_tensors)) if device_tensors else []

    @_timed
    def rank(self, logits: torch.Tensor, count: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return the ``count`` most likely tokens of each row and their log-probabilities, best first.

        Probabilities are normalized over all tokens of the head. Ids that the other model lacks are left out, or come
        last with a log-probability of minus infinity.

        Args:
            logits: [n, vocabulary of the head].
            count: tokens of each row.

        Raises:
            DynatreeError: a logit is not a number.
        """
        ids, log_probs = download(*self._rank_on_device(logits, count))
        for row in log_probs:
            self.check_numbers(row)
        return [[int(token) for token in row] for row in ids], log_probs

    def check_numbers(self, log_probs: Sequence[float]) -> None:
        """Raise unless log-probabilities from :meth:`rank_on_device` are numbers."""
        if any(map(math.isnan, log_probs)):
            raise DynatreeError(_not_finite(self.role, self.model))

    @_timed
    def rank_on_device(self, logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids and log-probabilities of :meth:`rank` as tensors [n, count] without synchronization.

        Args:
            logits: [n, vocabulary of the head].
            count: tokens of each row, or fewer if the head has fewer.
        """
        return self._rank_on_device(logits, count)

    def _rank_on_device(self, logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._ranks_by_kernel and isinstance(self.head, TrimmedHead) and self._foreign_columns(self.head) is None:
            ids, log_probs = top_tokens(logits, count)
            return self.head.token_map[ids], log_probs
        logits = logits.float()
        normalizer = logits.logsumexp(-1, keepdim=True)  # [n, 1]
        if isinstance(self.head, TrimmedHead):
            foreign = self._foreign_columns(self.head)
            logits = logits if foreign is None else logits.masked_fill(foreign, -torch.inf)
        elif self.proposals is not None:
            logits = logits[:, : self.proposals]
        scores, ids = logits.topk(min(count, logits.shape[-1]))
        if isinstance(self.head, TrimmedHead):
            ids = self.head.token_map[ids]
        return ids, scores - normalizer

    def _foreign_columns(self, head: TrimmedHead) -> torch.Tensor | None:
        """Boolean [tokens]: columns of a trimmed head whose ids the other model lacks."""
        if self.proposals is None or self.proposals >= head.vocabulary:
            return None
        return head.token_map >= self.proposals


def _not_finite(role: str, model: PreTrainedModel) -> str:
    name = model.config._name_or_path or type(model).__name__
    return (
        f"the {role} model {name} returned logits that are not finite; check its weights and its dtype ({model.dtype})"
    )
