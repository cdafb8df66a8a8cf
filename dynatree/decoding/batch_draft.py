"""Drafts of a batch: one forward pass of the draft model serves a level of all trees."""

from collections.abc import Sequence
from typing import Protocol

import torch

from dynatree.decoding.arguments import RequestOptions
from dynatree.decoding.batch_runner import BatchRunner
from dynatree.decoding.request import Inputs, Request
from dynatree.drafting.base import DraftPass, Successors
from dynatree.models.modes import mode_of
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.state_embedding import reads_states
from dynatree.models.supported import vocabulary_size
from dynatree.models.transfer import download

MAX_PADDED = 16  # tokens of a request; a forward pass over more, as over a prompt, would pad the others too much
NO_TOKENS: Inputs = ([], [], None)


class Drafts(Protocol):
    """The drafts of the requests of a batch."""

    @property
    def members(self) -> Sequence[ModelRunner | None]:
        """The view of each request on a shared draft model; None for a draft of its own."""
        ...

    def propose(self, requests: list[Request]) -> list[Inputs]:
        """Draft a tree for each request; return the arguments of the forward pass that verifies them."""
        ...

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        ...


def batch_draft(pair: ModelPair, requested: list[RequestOptions], tokens: int) -> Drafts:
    """Return the drafts of a batch, which share forward passes if the draft model and its cache permit it.

    Args:
        pair: target and draft.
        requested: the requests, of one method.
        tokens: tokens of the longest request, prompt included.
    """
    policy, draft = requested[0].policy, pair.draft
    if (
        len(requested) == 1
        or draft is None
        or not policy.max_children
        or not policy.drafts_with_model
        or requested[0].caches.draft
        or mode_of(draft) == "chain"
        or reads_states(draft)
        or hasattr(draft.config, "index_topk")  # a sparse attention keeps keys of its own for each request
    ):
        return SeparateDrafts(len(requested))
    capacity = 2 * tokens + policy.drafted_nodes + 1  # a forward pass pads all requests to the longest
    samplers = [request.sampler for request in requested]
    return SharedDrafts(BatchRunner(pair, "draft", samplers, capacity, vocabulary_size(pair.target)))


class SeparateDrafts:
    """Drafts that requests make one after the other.

    Args:
        requests: number of requests.
    """

    def __init__(self, requests: int):
        self.members: Sequence[ModelRunner | None] = [None] * requests

    def propose(self, requests: list[Request]) -> list[Inputs]:
        """Draft a tree for each request, see :class:`Drafts`."""
        return [request.propose() for request in requests]

    def select(self, requests: list[int]) -> None:
        """Do nothing, because each request has a draft of its own."""


class SharedDrafts:
    """Drafts that requests make level by level.

    Args:
        runner: the draft model with the cache of the batch.
    """

    def __init__(self, runner: BatchRunner):
        self._runner = runner

    @property
    def members(self) -> Sequence[ModelRunner | None]:
        """The view of each request on the draft model."""
        return self._runner.members

    def propose(self, requests: list[Request]) -> list[Inputs]:
        """Draft a tree for each request, see :class:`Drafts`."""
        running = {index: request.proposing() for index, request in enumerate(requests)}
        answers: dict[int, Successors] = {}
        inputs: dict[int, Inputs] = {}
        while running:
            asked: dict[int, DraftPass] = {}
            for index, drafting in list(running.items()):
                try:
                    asked[index] = drafting.send(answers[index]) if index in answers else next(drafting)
                except StopIteration as done:
                    inputs[index] = done.value
                    del running[index]
            answers = self._answers(asked)
        return [inputs[index] for index in range(len(requests))]

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        self._runner.select(requests)

    def _answers(self, asked: dict[int, DraftPass]) -> dict[int, Successors]:
        """Run the forward passes that requests ask for: narrow ones together, each wide one alone."""
        narrow = {index: one for index, one in asked.items() if len(one.positions) <= MAX_PADDED}
        answers: dict[int, Successors] = {}
        for index, one in asked.items():
            if index not in narrow:
                answers |= self._run({index: one})
        return answers | (self._run(narrow) if narrow else {})

    def _run(self, asked: dict[int, DraftPass]) -> dict[int, Successors]:
        """Run one forward pass for some requests, and read the successors in one transfer."""
        clock, members = self._runner.clock, self._runner.members
        started, first, last = clock(), min(asked), max(asked)
        inputs = [
            (asked[index].tokens, asked[index].positions, asked[index].visible) if index in asked else NO_TOKENS
            for index in range(first, last + 1)
        ]
        last_only = [index in asked and asked[index].last_only for index in range(first, last + 1)]
        logits = self._runner.run(first, inputs, last_only)
        scores = [
            members[index].add_gumbel_noise(logits[index - first], one.read_positions) for index, one in asked.items()
        ]
        runner, read_at = members[first], clock()
        count = max(one.count for one in asked.values())
        ids, log_probs = download(*runner.rank_on_device(torch.cat(scores), count))
        seconds, reading = clock() - started, clock() - read_at
        answers: dict[int, Successors] = {}
        for (index, one), rows in zip(asked.items(), map(len, scores), strict=True):
            own_ids = [[int(token) for token in row[: one.count]] for row in ids[:rows]]
            own_log_probs = [row[: one.count] for row in log_probs[:rows]]
            del ids[:rows], log_probs[:rows]
            for row in own_log_probs:
                runner.check_numbers(row)
            if index != first:
                members[index].stopwatch.add(reading)
            answers[index] = Successors(own_ids, own_log_probs, seconds, len(asked))
        return answers
