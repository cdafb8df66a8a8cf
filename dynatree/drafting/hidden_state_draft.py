"""A tree drafted by a small model that reads hidden states of the target."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from dynatree.drafting.base import DraftPass, Nodes, Verification
from dynatree.drafting.draft_model import ModelDrafter
from dynatree.models.runner import ModelRunner
from dynatree.policies.base import Policy
from dynatree.tree import TokenTree


class HiddenStateDrafter(ModelDrafter):
    """A drafter whose model reads, beside each token, the hidden state from which the token was predicted.

    For emitted tokens it is the target's. For drafted ones it is the draft's own. Accepted tokens are read again with
    the states of the target, because later proposals attend to them. The method is EAGLE's (Li et al., 2024).

    Args:
        runner, policy, stop_tokens: see :class:`dynatree.drafting.draft_model.ModelDrafter`.
    """

    reads_states = True

    def __init__(self, runner: ModelRunner, policy: Policy, stop_tokens: frozenset[int]):
        super().__init__(runner, policy, stop_tokens)
        runner.keeps_states = True
        self._pending_states: list[torch.Tensor] = []  # [n, hidden_size], together one row for each pending token
        self._verified = torch.empty(0)  # [nodes, hidden_size] of the target, for the newest verified tree
        self._newest = torch.empty(0)  # [1, hidden_size] of the target, from which the next root was predicted
        self._drafted: dict[int, torch.Tensor] = {}  # expanded node -> its state [hidden_size]
        self._expanded: list[int] = []  # nodes of the newest forward pass

    def prefill(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        self.defer(prompt, states)
        self._read_pending()
        self.runner.cache.keep(len(prompt), [])

    def defer(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        super().defer(prompt)
        assert states is not None, "the request keeps the states of the target"
        missing = states.new_zeros(max(len(self.pending) + 1 - len(states), 0), states.shape[1])
        before = torch.cat((missing, states))[-len(self.pending) - 1 : -1]  # the first token has no state before it
        self._pending_states, self._newest = [before], states[-1:]

    def begin_round(self, root: int) -> None:
        super().begin_round(root)
        self._pending_states.append(self._newest)
        self._drafted.clear()

    def _read_pending(self) -> None:
        """Read the pending tokens with their states, without a proposal."""
        first = self.runner.length
        positions = range(first, first + len(self.pending))
        self.runner.forward(self.pending, positions, last_only=True, states=torch.cat(self._pending_states))
        self.pending, self._pending_states = [], []

    def ask(
        self,
        tree: Nodes,
        nodes: list[int],
        tokens: Sequence[int] | torch.Tensor,
        count: int,
        on_device: bool = False,
    ) -> DraftPass:
        if nodes == [0]:
            states, self._pending_states = torch.cat(self._pending_states), []
        else:
            newest = self.runner.states
            assert newest is not None, "the parents of the nodes were expanded before"
            self._drafted.update(zip(self._expanded, newest[-len(self._expanded) :], strict=True))
            states = torch.stack([self._drafted[tree.parents[node]] for node in nodes])
        self._expanded = nodes
        return replace(super().ask(tree, nodes, tokens, count, on_device), states=states)

    def observe(self, tree: TokenTree, path: list[int], verification: Verification) -> None:
        assert verification.states is not None, "the request keeps the states of the target"
        self._verified = verification.states
        chain = self._verified[[0, *path]]  # [len(path) + 1, hidden_size]
        self._path_states, self._newest = chain[:-1], chain[-1:]

    def keep(self, tree: Nodes, path: list[int]) -> None:
        if self._entries:
            self.runner.cache.keep(self._entries[0] + 1, [])
        self.pending += [tree.tokens[node] for node in path]
        self._pending_states.append(self._path_states)

    def read_forced(self, tokens: list[int]) -> None:
        super().read_forced(tokens)
        self._pending_states.append(self._verified[: len(tokens)])
        self._newest = self._verified[len(tokens) : len(tokens) + 1]
