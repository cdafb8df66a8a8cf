"""What the decoding loop asks of a drafter."""

from collections.abc import Callable

import torch

from dynatree.models.runner import ModelRunner
from dynatree.policies.base import Policy
from dynatree.tree import TokenTree


class Drafter:
    """Drafts trees for one request.

    Args:
        model: the draft with its cache; None for a drafter without one.

    Attributes:
        unread: what is still to be read of the drafted tree, on the device.
        batch: requests that wait for each other: a pass of the draft for one delays all.
    """

    unread: tuple[torch.Tensor, ...] = ()
    batch = 1

    def __init__(self, model: ModelRunner | None):
        self.model = model

    def prefill(self, prompt: list[int]) -> None:
        """Read the prompt, whose successor becomes the first root."""
        raise NotImplementedError

    def draft(
        self, tree: TokenTree, policy: Policy, most_depth: int, stop_tokens: frozenset[int]
    ) -> list[int] | torch.Tensor:
        """Grow a tree that has nothing but its root, the newest emitted token.

        Args:
            tree: the tree.
            policy: says which nodes are wanted.
            most_depth: deepest level allowed.
            stop_tokens: end-of-sequence ids; nodes that carry one get no children.

        Returns:
            The tokens of the tree; a tensor [nodes] where they were not read from the device. Then :meth:`read` names
            the nodes of the tree.
        """
        raise NotImplementedError

    def read(self, tree: TokenTree, drafted: list[list[float]]) -> None:
        """Name the nodes of a tree.

        Args:
            tree: the tree.
            drafted: ``unread``, brought to the host.
        """

    def candidates(self, tree: TokenTree) -> TokenTree:
        """What the drafted ``tree`` was chosen from; the tree itself where nothing was left out."""
        return tree

    def learn(self, tree: TokenTree, path: list[int], predictions: list[int], rank: Callable) -> None:
        """See the verdict on a tree, before :meth:`keep`.

        Args:
            tree: the verified tree.
            path: its accepted nodes.
            predictions: the target's own successor of each node.
            rank: gives the target's ``n`` most likely successors of each node, and their log-probabilities.
        """

    def keep(self, tree: TokenTree, path: list[int]) -> None:
        """Forget all nodes of ``tree`` but those in ``path``, which are emitted."""
        raise NotImplementedError

    def close_round(self, emitted: int, verify_seconds: float) -> None:
        """See how many tokens a round emitted, and what verifying its tree took."""

    def take_seconds(self) -> float:
        """Time spent in the draft model since the last call."""
        return self.model.take_seconds() if self.model else 0.0

    @property
    def passes(self) -> list[tuple[int, int]]:
        """Passes of the draft model, see :class:`ModelRunner`."""
        return self.model.passes if self.model else []
