"""Models that run forward passes over several requests."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from dynatree.decoding.request import Inputs
from dynatree.models.batch_cache import BatchCache, BatchRow
from dynatree.models.forward import forward_logits
from dynatree.models.layout import PassLayout
from dynatree.models.masks import fill_padded_mask
from dynatree.models.modes import implementation_of, layer_kinds
from dynatree.models.pair import ModelPair, Role
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import Sampler
from dynatree.models.state_embedding import kept_states
from dynatree.models.strict import StrictModel
from dynatree.models.transfer import input_device, upload


class BatchRunner:
    """A model with one cache for several requests.

    Args:
        pair: supplies the model.
        role: of the model.
        samplers: sampler of each request; None for greedy decoding.
        capacity: cache entries of each request.
        proposals: see :class:`dynatree.models.runner.ModelRunner`.

    Attributes:
        members: the view of each request on the model.
    """

    def __init__(
        self,
        pair: ModelPair,
        role: Role,
        samplers: Sequence[Sampler | None],
        capacity: int,
        proposals: int | None = None,
    ):
        self.model: PreTrainedModel = pair.models[role]
        self.clock = pair.clock
        kinds = layer_kinds(self.model)
        self.cache = BatchCache(len(kinds), len(samplers), capacity, kinds)
        self._parts = [BatchRow(self.cache, index) for index in range(len(samplers))]
        self.members = [
            ModelRunner(self.model, role, capacity, proposals, sampler, part, pair.clock)
            for sampler, part in zip(samplers, self._parts, strict=True)
        ]

    def forward(self, inputs: list[Inputs], last_only: bool = False) -> list[torch.Tensor]:
        """Run the model over the new tokens of all requests in one forward pass.

        Args:
            inputs: tokens, positions and visible entries of each request, see :meth:`ModelRunner.forward`.
            last_only: return the logits of each request's last new token only.

        Returns:
            Logits [n or 1, vocabulary] for each request.
        """
        return self.run(0, inputs, [last_only] * len(inputs))

    def run(self, first: int, inputs: Sequence[Inputs], last_only: Sequence[bool]) -> list[torch.Tensor]:
        """Run the model over the new tokens of consecutive requests in one forward pass.

        Args:
            first: the first of the requests.
            inputs: see :meth:`forward`; no tokens for a request that waits for the others.
            last_only: by request, see :meth:`forward`.
        """
        start = self.clock()
        widths = [len(tokens) for tokens, _, _ in inputs]
        longest = max(widths)
        ids, positions, layout = self._padded(first, inputs, longest)
        read = [
            range(index * longest + (max(width - 1, 0) if last else 0), index * longest + width)
            for index, (width, last) in enumerate(zip(widths, last_only, strict=True))
        ]
        rows = upload([row for one in read for row in one], ids.device)
        with self._states_kept(first, widths):
            scored = forward_logits(
                self.model, ids, positions, layout, self.cache, rows=rows, implementation=implementation_of(self.model)
            )
        logits = torch.split(scored, [len(one) for one in read])
        seconds = self.clock() - start
        for index, width in enumerate(widths, start=first):
            if width:
                self.members[index].record_shared_pass(width, seconds)
                self.cache.lengths[index] += width
        return list(logits)

    @contextmanager
    def _states_kept(self, first: int, widths: list[int]) -> Generator[None]:
        """Give each request from ``first`` on the states of its new tokens, as ``widths`` counts, if one keeps them."""
        members = self.members[first : first + len(widths)]
        if not any(member.keeps_states for member in members):
            yield
            return
        with kept_states(self.model) as kept:
            yield
        for states, member, width in zip(kept[0], members, widths, strict=True):
            member.states = states[:width]

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        self.cache.select(requests)
        self._parts = [self._parts[index] for index in requests]
        self.members = [self.members[index] for index in requests]
        for index, part in enumerate(self._parts):
            part.request = index

    def _padded(
        self, first: int, inputs: Sequence[Inputs], width: int
    ) -> tuple[torch.Tensor, torch.Tensor, PassLayout]:
        """Ids and position ids [batch, width] and the layout of the forward pass; sets the entries to write.

        Padding is written past the entries of a request, where the next forward pass overwrites it, and attends to the
        first entry.
        """
        cache, lengths = self.cache, self.cache.lengths[first : first + len(inputs)]
        cache.first, cache.end = first, max(lengths) + width
        ids, position_ids = torch.zeros(2, len(inputs), width, dtype=torch.int64)
        mask = torch.zeros(len(inputs), 1, width, cache.end, dtype=torch.bool)
        entries = torch.arange(cache.end).repeat(len(inputs), 1)
        for index, ((tokens, positions, visible), length) in enumerate(zip(inputs, lengths, strict=True)):
            n = len(tokens)
            ids[index, :n], position_ids[index, :n] = torch.as_tensor(tokens), torch.as_tensor(positions)
            fill_padded_mask(mask[index, 0], n, length + n, visible)
            entries[index, length : length + width] = position_ids[index]
        device = input_device(self.model)
        cache.new_entries = torch.tensor(lengths)[:, None] + torch.arange(width)
        return upload(ids, device), upload(position_ids, device), PassLayout(mask, position_ids, entries)


class StrictBatchRunner:
    """The target for requests that keep a cache each and verify their trees in one forward pass, without padding.

    Args:
        pair: supplies the target.
        samplers: sampler of each request; None for greedy decoding.
        capacity: cache entries of each request.
        strict: the target.

    Attributes:
        members: the view of each request on the target.
    """

    def __init__(self, pair: ModelPair, samplers: Sequence[Sampler | None], capacity: int, strict: StrictModel):
        self.clock = pair.clock
        self.strict = strict
        self.members = [
            ModelRunner(pair.target, "target", capacity, None, sampler, None, pair.clock, strict=strict)
            for sampler in samplers
        ]

    def forward(self, inputs: list[Inputs], last_only: bool = False) -> list[torch.Tensor]:
        """Run the target over the trees of all requests; read prompts (``last_only``) one by one.

        Args:
            inputs: see :meth:`BatchRunner.forward`.
            last_only: see :meth:`BatchRunner.forward`.

        Returns:
            Logits [n or 1, vocabulary] for each request.
        """
        requests = list(zip(self.members, inputs, strict=True))
        if last_only:
            return [member.forward(*one, last_only=True) for member, one in requests]
        start = self.clock()
        logits = self.strict.forward([member.tree(*one) for member, one in requests])
        seconds = self.clock() - start
        for member, (tokens, _, _) in requests:
            member.record_shared_pass(len(tokens), seconds)
        return logits

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        self.members = [self.members[index] for index in requests]
