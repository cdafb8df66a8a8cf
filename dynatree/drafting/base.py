"""The interface of a drafter."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from dynatree.drafting.pool import Pool
from dynatree.models.runner import ModelRunner
from dynatree.tree import TokenTree

Ranked = tuple[list[list[int]], list[list[float]]]
"""The most likely successors of each node and their log-probabilities, best first."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class DraftPass:
    """A forward pass that a drafter asks of its draft model.

    Attributes:
        tokens, positions, visible: see :meth:`dynatree.models.runner.ModelRunner.forward`.
        count: successors of each token to return.
        last_only: True for the successors of the last token only.
        on_device: True to leave the successors on the device.
        states: [n, hidden_size] hidden states before the tokens, for a draft model that reads them.
    """

    tokens: Sequence[int] | torch.Tensor
    positions: Sequence[int]
    visible: torch.Tensor | None
    count: int
    last_only: bool = False
    on_device: bool = False
    states: torch.Tensor | None = None

    @property
    def read_positions(self) -> Sequence[int]:
        """Positions of the tokens whose successors are returned."""
        return self.positions[-1:] if self.last_only else self.positions


@dataclass(frozen=True)
class Successors:
    """The result of a forward pass of the draft model.

    Attributes:
        ids, log_probs: [n, count] as lists, or as tensors if they stay on the device.
        shared_seconds: duration of a forward pass in a batch, in which other requests work, too; None alone.
        requests: number of requests that the forward pass served.
    """

    ids: Any
    log_probs: Any
    shared_seconds: float | None = None
    requests: int = 1


Drafting = Generator[DraftPass, Successors, Result]
"""A computation that asks for forward passes of the draft model."""


class Nodes(Protocol):
    """Nodes of a tree, as :class:`dynatree.tree.TokenTree` numbers them."""

    tokens: list[int]
    parents: list[int]
    depths: list[int]


@dataclass(frozen=True)
class Verification:
    """The target's results after each node of a tree.

    Attributes:
        predictions: next tokens.
        ranked: the most likely successors, as many as the drafter asked for.
        rank_seconds: time of ranking them.
        states: [nodes, hidden_size] last hidden states, for a drafter that reads them; None for all others.
    """

    predictions: list[int]
    ranked: Ranked
    rank_seconds: float
    states: torch.Tensor | None = None


@dataclass(frozen=True)
class RoundContext:
    """The state of a request before a round.

    Attributes:
        max_depth: number of tokens that the tree may be deep.
        target_entries: cache entries of the target before it verifies the tree.
        batch: number of requests decoded together. A forward pass of the draft for one of them delays all.
    """

    max_depth: int
    target_entries: int
    batch: int = 1


@dataclass(frozen=True)
class RoundOutcome:
    """The result of a verified round.

    Attributes:
        emitted: emitted tokens.
        new: new tokens of the verifying forward pass: the root and the nodes.
        entries: cache entries of the target before it.
        verify_seconds: duration of the verification, up to the token ids on the host.
        round_seconds: duration of the round, drafting included.
    """

    emitted: int
    new: int
    entries: int
    verify_seconds: float
    round_seconds: float


class Drafter:
    """A source of token trees for one request.

    Attributes:
        device_tokens: tokens and log-probabilities of the drafted tree that are still on the device.
        recycled: successors of each node that :meth:`observe` asks for, 0 for none.
        reads_states: True if :meth:`prefill` and :meth:`observe` need the target's last hidden states.
    """

    device_tokens: tuple[torch.Tensor, ...] = ()
    recycled: int = 0
    reads_states: bool = False

    @property
    def runner(self) -> ModelRunner | None:
        """The draft model with its cache; None for a drafter without one."""
        return None

    def prefill(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        """Read the prompt; its successor becomes the first root.

        Args:
            prompt: token ids.
            states: [n, hidden_size] last hidden states of the target for the last n tokens of the prompt, for a drafter
                that reads them.
        """
        raise NotImplementedError

    def drafting(self, tree: TokenTree, context: RoundContext) -> Drafting[list[int] | torch.Tensor]:
        """Add nodes to a tree that consists of its root, the newest emitted token.

        The caller runs the forward passes that this generator asks for, see :func:`run_alone`.

        Args:
            tree: the tree.
            context: state of the request.

        Returns:
            The tokens of the tree. A tensor [nodes] means that they are still on the device; :meth:`materialize` then
            sets the tokens of the tree.
        """
        raise NotImplementedError

    def materialize(self, tree: TokenTree, values: list[list[float]]) -> None:
        """Set the tokens of the nodes.

        Args:
            tree: the drafted tree.
            values: ``device_tokens`` as lists.
        """

    @property
    def pool(self) -> Pool | None:
        """The candidates that the tree of the round was selected from; None if nothing was left out."""
        return None

    def observe(self, tree: TokenTree, path: list[int], verification: Verification) -> None:
        """Record the outcome of the verification; called before :meth:`keep`.

        Args:
            tree: the verified tree.
            path: its accepted nodes.
            verification: the target's results after each node.
        """

    def keep(self, tree: Nodes, path: list[int]) -> None:
        """Drop all nodes of ``tree`` except the emitted ones in ``path``."""
        raise NotImplementedError

    def read_forced(self, tokens: list[int]) -> None:
        """Append tokens that were emitted without a draft; called after :meth:`keep` with an empty path."""
        raise NotImplementedError

    def close_round(self, outcome: RoundOutcome) -> None:
        """Record the cost and the yield of a round."""

    def close(self, emitted: list[int]) -> None:
        """End the request.

        Args:
            emitted: its output.
        """

    def pop_elapsed(self) -> float:
        """Return the seconds spent in the draft model since the last call."""
        return self.runner.stopwatch.pop_elapsed() if self.runner else 0.0

    @property
    def passes(self) -> list[tuple[int, int]]:
        """Forward passes of the draft model so far, see :class:`dynatree.models.runner.ModelRunner`."""
        return self.runner.passes if self.runner else []


def run_alone(drafting: Drafting[Result], runner: ModelRunner | None) -> Result:
    """Return the result of a computation whose forward passes serve one request.

    Args:
        drafting: asks for forward passes.
        runner: the draft model; None if no forward pass is asked for.
    """
    try:
        asked = next(drafting)
        while runner is not None:
            asked = drafting.send(_successors(runner, asked))
    except StopIteration as done:
        return done.value
    raise RuntimeError("a drafter without a draft model asks for a forward pass")


def _successors(runner: ModelRunner, asked: DraftPass) -> Successors:
    logits = runner.forward(asked.tokens, asked.positions, asked.visible, asked.last_only, asked.states)
    logits = runner.add_gumbel_noise(logits, asked.read_positions)
    rank = runner.rank_on_device if asked.on_device else runner.rank
    return Successors(*rank(logits, asked.count))
