"""A text that grows under logits processors and stopping criteria, token by token as in plain decoding."""

import math
from typing import Any

import torch

from dynatree.decoding.results import KeptScores
from dynatree.errors import DynatreeError
from dynatree.models.runner import ModelRunner
from dynatree.models.text_rules import TextRules, forced_token
from dynatree.tree import TokenTree

NO_TOKEN = -1


class RuledText:
    """The prompt and the emitted tokens of a request, with the functions that decide how the text goes on.

    Each function is called once for each emitted token, in order and after the complete text before it. This is the
    sequence of calls of plain decoding, so functions may keep a state. Rejected nodes of a tree call nothing.

    Args:
        rules: logits processors and stopping criteria.
        target: draws tokens.
        stop_tokens: end-of-sequence ids.
        max_new_tokens: tokens to emit.

    Attributes:
        finished: True after the last token.
        kept: scores and logits of the emitted tokens, as far as ``rules`` keeps them.
    """

    def __init__(self, rules: TextRules, target: ModelRunner, stop_tokens: frozenset[int], max_new_tokens: int):
        self.finished = not max_new_tokens
        self.kept = KeptScores()
        self._rules = rules
        self._processors: Any = rules.processors  # their types do not admit a tensor
        self._criteria: Any = rules.criteria
        self._target = target
        self._stop_tokens = stop_tokens
        self._length = len(rules.text)
        self._max_length = self._length + max_new_tokens
        self._ids = rules.text.new_zeros(1, self._max_length)
        self._ids[0, : self._length] = rules.text

    def draw(self, logits: torch.Tensor, position: int) -> int:
        """Append the next token of the text and return it.

        Args:
            logits: [1, vocabulary] at the end of the text.
            position: index of the last token in the text, padding left out.

        Raises:
            DynatreeError: the target's logits are not numbers, or processors exclude every token that could be drawn.
        """
        with self._target.stopwatch:
            token = self._draw(logits, position)
            self._ids[0, self._length] = token
            self._length += 1
            self.finished = token in self._stop_tokens or self._length == self._max_length
            ended: Any = self._criteria(self._text, self._seen_scores())
            self.finished |= bool(torch.as_tensor(ended).any())
        return token

    def walk(self, tree: TokenTree, positions: list[int], logits: torch.Tensor) -> list[int]:
        """Append tokens while they are nodes of a tree, and the token after the last one.

        Args:
            tree: the tree, whose root is the last token of the text.
            positions: index of each node in the text, padding left out.
            logits: [nodes, vocabulary].

        Returns:
            The token after each node; ``NO_TOKEN`` after nodes off the path, and after a node that ends the text.
        """
        tokens, node = [NO_TOKEN] * len(tree), 0
        while node is not None and not self.finished:
            tokens[node] = self.draw(logits[node : node + 1], positions[node])
            node = tree.child(node, tokens[node])
        return tokens

    def forced(self, count: int) -> list[int]:
        """Return at most ``count`` tokens that follow the text whatever their logits are."""
        tokens: list[int] = []
        ids = self._text
        while len(tokens) < count:
            token = forced_token(self._rules.processors, ids)
            if token is None:
                break
            tokens.append(token)
            if token in self._stop_tokens:
                break
            ids = torch.cat([ids, ids.new_tensor([[token]])], dim=1)
        return tokens

    @property
    def _text(self) -> torch.Tensor:
        return self._ids[:, : self._length]

    def _seen_scores(self) -> tuple[torch.Tensor, ...] | None:
        return tuple(self.kept.scores) if "scores" in self._rules.kept else None

    def _draw(self, logits: torch.Tensor, position: int) -> int:
        row = logits.to(self._ids.device, torch.float32, copy=True)
        scores = self._processors(self._text, row)
        if "scores" in self._rules.kept:
            self.kept.scores.append(scores)
        if "logits" in self._rules.kept:
            self.kept.logits.append(row)
        sampler = self._target.sampler
        if sampler:
            scores = sampler.add_noise(scores.clone(), [position])
        token = int(scores.argmax(-1))
        largest = float(scores[0, token])
        if math.isnan(largest) and row.isnan().any():
            raise DynatreeError("the target returned logits that are not finite; check its weights and its dtype")
        if sampler and not largest > -math.inf:
            raise DynatreeError("the logits processors exclude every token; leave one of them out")
        return token
