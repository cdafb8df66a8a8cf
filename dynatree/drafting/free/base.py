"""The interface of drafters that need no model."""

from collections.abc import Sequence
from typing import Protocol

from dynatree.tree import TokenTree

Row = tuple[Sequence[int], Sequence[float]]
"""The target's most likely tokens at one position and their log-probabilities, best first."""


class FreeDrafter(Protocol):
    """A drafter that reads the text, and optionally the target's most likely tokens, and needs no model.

    Call :meth:`begin_request` before each prompt. What a drafter keeps beyond a request is part of its description.
    """

    def begin_request(self) -> None:
        """Start a new text."""
        ...

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        """Append tokens to the text.

        Args:
            tokens: at least one token of the prompt or of the output.
            rows: for each token, the target's most likely tokens at its position, the token itself first; None for a
                prompt, at whose positions the target does not predict.
        """
        ...

    def draft(self, nodes: int) -> TokenTree:
        """Return a tree below the last token of the text.

        Args:
            nodes: maximum number of nodes below the root.
        """
        ...
