"""A tree of all suffixes of several texts, with the number of their occurrences, that grows token by token."""

from collections.abc import Iterator
from dataclasses import dataclass, field

END = -1  # after the last token of a text


@dataclass(slots=True)
class Node:
    """A substring.

    Attributes:
        count: its occurrences.
        place: index in the tokens of what follows the only occurrence; used while ``children`` is None.
        children: nodes of the substrings that are longer by one token; None for a substring that occurs once.
    """

    count: int
    place: int
    children: "dict[int, Node] | None" = field(default=None)


Cursor = tuple[Node, int]
"""A substring: a node, and the index of what follows it if the node, or the end of the path in it, occurs once."""


class SuffixTree:
    """Suffixes of up to ``depth`` tokens of all texts.

    A suffix that has occurred once is a reference into the tokens, so a token adds as many nodes as it repeats
    substrings. A token takes the time of at most ``depth`` steps.

    Args:
        depth: tokens of the longest substring.
        max_tokens: when the tokens of all texts exceed it, the tree is built again from their newer half.
    """

    def __init__(self, depth: int, max_tokens: int):
        self.depth = depth
        self.max_tokens = max_tokens
        self._clear()

    def _clear(self) -> None:
        self.tokens: list[int] = []
        self.root = Node(0, 0, {})
        self.open: list[tuple[Node, int]] = []  # node and length of each end of the text that occurred before

    def extend(self, token: int) -> None:
        """Append a token to the newest text."""
        if len(self.tokens) >= self.max_tokens:
            kept = self.tokens[len(self.tokens) // 2 :]
            self._clear()
            for old in kept:
                self.extend(old)
        place = len(self.tokens)
        self.tokens.append(token)
        if token == END:
            self.open = []
            return
        still_open: list[tuple[Node, int]] = []
        self.root.count += 1
        for node, length in [*self.open, (self.root, 0)]:
            child = self._insert(node, token, place)
            if child is not None and length + 1 < self.depth:
                still_open.append((child, length + 1))
        self.open = still_open

    def _insert(self, node: Node, token: int, place: int) -> Node | None:
        """Count an occurrence of a child; return it if it occurred before."""
        assert node.children is not None
        child = node.children.get(token)
        if child is None:
            node.children[token] = Node(1, place + 1)
            return None
        child.count += 1
        if child.children is None:
            child.children = {}
            following = self.tokens[child.place]
            if following != END:
                child.children[following] = Node(1, child.place + 1)
        return child

    def end_text(self) -> None:
        """End the newest text; no substring crosses the border."""
        if self.tokens and self.tokens[-1] != END:
            self.extend(END)

    def advance(self, cursor: Cursor, token: int) -> Cursor | None:
        """Return the substring that is longer by ``token``; None if it does not occur."""
        node, place = cursor
        if node.children is None:
            return (node, place + 1) if self._at(place) == token else None
        child = node.children.get(token)
        return None if child is None else (child, child.place)

    def following(self, cursor: Cursor) -> Iterator[tuple[int, float, Cursor]]:
        """Yield each token after a substring, its share of the tokens there, and the longer substring."""
        node, place = cursor
        if node.children is None:
            token = self._at(place)
            if token != END:
                yield token, 1.0, (node, place + 1)
            return
        total = sum(child.count for child in node.children.values())
        for token, child in node.children.items():
            yield token, child.count / total, (child, child.place)

    def _at(self, place: int) -> int:
        return self.tokens[place] if place < len(self.tokens) else END
