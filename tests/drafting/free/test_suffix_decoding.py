"""The suffix tree against a search of the texts, and SuffixDecoding."""

import random

from dynatree.drafting.free.suffix_decoding import SuffixDecoding
from dynatree.drafting.free.suffix_tree import END, SuffixTree

ROW = ([0], [0.0])


def counts_after(texts: list[list[int]], pattern: list[int]) -> dict[int, int]:
    """Return the number of occurrences of each token after a pattern."""
    found: dict[int, int] = {}
    for text in texts:
        for start in range(len(text) - len(pattern)):
            if text[start : start + len(pattern)] == pattern:
                token = text[start + len(pattern)]
                found[token] = found.get(token, 0) + 1
    return found


def test_following_tokens_have_their_relative_frequencies():
    random.seed(2)
    texts = [[random.randrange(3) for _ in range(40)] for _ in range(3)]
    tree = SuffixTree(6, 1000)
    for text in texts:
        for token in text:
            tree.extend(token)
        tree.end_text()
    for _ in range(200):
        pattern = [random.randrange(3) for _ in range(random.randrange(1, 6))]
        cursor = (tree.root, 0)
        for token in pattern:
            cursor = cursor and tree.advance(cursor, token)
        expected = counts_after(texts, pattern)
        found = {token: share for token, share, _ in tree.following(cursor)} if cursor else {}
        total = sum(expected.values())
        assert found == {token: count / total for token, count in expected.items()}, pattern


def test_the_tree_stays_within_its_limit():
    tree = SuffixTree(4, 20)
    for token in range(100):
        tree.extend(token)
    assert len(tree.tokens) <= 20 and 5 not in tree.root.children
    assert END not in tree.root.children


def test_a_past_output_is_continued_and_a_past_prompt_is_not():
    drafter = SuffixDecoding()
    drafter.observe([1, 2, 3])
    drafter.observe([7, 8, 9, 7], [ROW] * 4)
    drafter.begin_request()
    drafter.observe([5, 7])
    assert drafter.draft(2).tokens == [7, 8, 9]
    drafter.begin_request()
    drafter.observe([5, 2])
    assert drafter.draft(2).tokens == [2]


def test_the_draft_grows_with_the_match():
    drafter = SuffixDecoding(factor=1.0)
    drafter.observe([1, 2, 3, 4, 5, 6, 9, 3])
    assert drafter.draft(8).tokens == [3, 4]
    drafter.observe([4])
    assert drafter.draft(8).tokens == [4, 5, 6]
