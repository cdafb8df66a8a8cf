"""The suffix automaton against a search of the text, and SAM decoding."""

import random

from dynatree.drafting.free.suffix_automaton import SamDecoding, SuffixAutomaton
from dynatree.drafting.free.token_recycling import TokenRecycling


def longest_match(text: list[int]) -> tuple[int, int]:
    """Return the length of the longest end of a text that occurs earlier, and the end of its first occurrence."""
    for length in range(len(text) - 1, 0, -1):
        for end in range(length, len(text)):
            if text[end - length : end] == text[-length:]:
                return length, end
    return 0, 0


def test_the_match_is_the_longest_and_its_first_occurrence_is_continued():
    random.seed(1)
    for alphabet in (1, 2, 3, 8):
        automaton = SuffixAutomaton()
        for _ in range(120):
            automaton.extend(random.randrange(alphabet))
            length, end = longest_match(automaton.text)
            assert automaton.match_length == length
            assert automaton.continuation(4) == (automaton.text[end : end + 4] if length else [])


def test_states_and_steps_grow_linearly():
    automaton = SuffixAutomaton()
    for place in range(4000):
        automaton.extend(place % 7 if place % 50 else 9)
    assert len(automaton._length) <= 2 * 4000


def test_the_older_half_is_dropped_at_the_limit():
    automaton = SuffixAutomaton(max_tokens=10)
    for token in range(25):
        automaton.extend(token)
    assert automaton.text[-1] == 24 and len(automaton.text) <= 10 and automaton.match_length == 0
    automaton.extend(23)
    assert automaton.match_length == 1 and automaton.continuation(1) == [24]


def test_a_short_match_leaves_the_draft_to_the_other_drafter():
    drafter = SamDecoding(TokenRecycling(), min_match=3)
    drafter.observe([1, 2, 3, 9])
    drafter.observe([1], [([1, 5], [0.0, -1.0])])
    drafter.observe([2], [([2, 6], [0.0, -1.0])])
    assert drafter.draft(1).tokens == [2]  # recycling knows nothing of token 2
    drafter.observe([3], [([3, 7], [0.0, -1.0])])
    assert drafter.draft(2).tokens == [3, 9, 1]
