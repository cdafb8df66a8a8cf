"""Proposals of the lookups."""

from dynatree.drafting.lookup import NGramLookup, Recycling


def tokens(proposals):
    return [proposal.token for proposal in proposals]


def test_the_longest_match_comes_first_then_the_latest():
    lookup = NGramLookup()
    lookup.read([1, 2, 3, 9, 2, 4, 1, 2])
    proposals = lookup.propose([], 4)
    assert tokens(proposals) == [3, 4]
    assert [proposal.source for proposal in proposals] == ["ngram-2", "ngram-1"]
    assert tokens(lookup.propose([], 1)) == [3]


def test_a_match_continues_along_the_drafted_path():
    lookup = NGramLookup()
    lookup.read([1, 2, 3, 4, 5, 1, 2])
    assert tokens(lookup.propose([3], 2)) == [4]
    assert tokens(lookup.propose([3, 4], 2)) == [5]
    assert lookup.propose([8], 2) == []


def test_reading_in_parts_equals_reading_at_once():
    whole, parts = NGramLookup(), NGramLookup()
    whole.read([1, 2, 1, 2, 1])
    for token in [1, 2, 1, 2, 1]:
        parts.read([token])
    assert whole.propose([], 4) == parts.propose([], 4) and tokens(whole.propose([], 4)) == [2]


def test_recycling_prefers_successors_of_the_last_two_tokens():
    lookup = Recycling()
    lookup.read([7, 8])
    assert lookup.propose([], 4) == []
    lookup.observe((7, 8), [1, 2, 3], [0.5, 0.25, 0.1])
    lookup.observe((9, 8), [4, 5, 6], [0.9, 0.05, 0.01])
    assert tokens(lookup.propose([], 2)) == [1, 2]
    assert lookup.propose([], 2)[0].source == "recycling-2"
    lookup.read([3])
    assert tokens(lookup.propose([8], 1)) == [4]
    assert lookup.propose([8], 1)[0].source == "recycling-1"
