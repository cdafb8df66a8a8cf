"""Proposals of the lookups."""

from dynatree.drafting.lookup import MATCH_SLOTS, PAIR_SLOTS, RUNNER_UP_SLOTS, TOKEN_SLOTS, NGramLookup, Recycling


def tokens(proposals):
    return [proposal.token for proposal in proposals]


def test_the_longest_match_comes_first_then_the_latest():
    lookup = NGramLookup()
    lookup.read([1, 2, 3, 9, 2, 4, 1, 2])
    proposals = lookup.propose((2, 4, 1, 2), 4)
    assert tokens(proposals) == [3, 4]
    assert [proposal.slot for proposal in proposals] == [MATCH_SLOTS[1][0], MATCH_SLOTS[0][1]]
    assert tokens(lookup.propose((2, 4, 1, 2), 1)) == [3]


def test_a_match_continues_along_the_drafted_path():
    lookup = NGramLookup()
    lookup.read([1, 2, 3, 4, 5, 1, 2])
    assert tokens(lookup.propose((5, 1, 2, 3), 2)) == [4]
    assert tokens(lookup.propose((1, 2, 3, 4), 2)) == [5]
    assert lookup.propose((5, 1, 2, 8), 2) == []


def test_reading_in_parts_equals_reading_at_once():
    whole, parts = NGramLookup(), NGramLookup()
    whole.read([1, 2, 1, 2, 1])
    for token in [1, 2, 1, 2, 1]:
        parts.read([token])
    context = (1, 2, 1)
    assert whole.propose(context, 4) == parts.propose(context, 4) and tokens(whole.propose(context, 4)) == [2]


def test_recycling_prefers_successors_of_the_last_two_tokens():
    lookup = Recycling()
    assert lookup.propose((7, 8), 4) == []
    lookup.observe((7, 8), [1, 2, 3], [-0.7, -1.4, -2.3])
    lookup.observe((9, 8), [4, 5, 6], [-0.1, -3.0, -4.6])
    assert tokens(lookup.propose((7, 8), 2)) == [1, 2]
    assert lookup.propose((7, 8), 2)[0].slot == PAIR_SLOTS[0]
    assert tokens(lookup.propose((3, 8), 1)) == [4]
    assert lookup.propose((3, 8), 1)[0].slot == TOKEN_SLOTS[0]


def test_a_match_is_counted_by_its_length_and_a_longer_one_precedes_a_later_one():
    lookup = NGramLookup()
    copied = list(range(10, 31))
    lookup.read([*copied, 1, 2, *copied[-5:], 3, 4, *copied])
    for length, place in ((1, 0), (4, 3), (5, 3), (6, 4), (15, 6), (16, 7)):
        first = lookup.propose(tuple(copied[-length:]), 2)[0]
        assert first.slot == MATCH_SLOTS[place][0]
        assert first.token == (1 if length > 5 else 3)


def test_runners_up_follow_the_root_alone():
    lookup = Recycling()
    lookup.read([7, 8])
    lookup.observe_root([8, 5, 6], [-0.5, -1.5, -2.5])
    proposals = lookup.propose((7, 8), 2)
    assert tokens(proposals) == [5, 6]
    assert [one.slot for one in proposals] == RUNNER_UP_SLOTS[:2]
    assert lookup.propose((7, 8, 5), 2) == []
