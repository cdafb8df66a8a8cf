"""RACER."""

from dynatree.drafting.free.racer import Ngrams, Racer


def test_logits_of_the_latest_occurrence_are_copied():
    drafter = Racer()
    drafter.observe([1])
    drafter.observe([2, 3, 1], [([2, 5], [-0.2, -1.8]), ([3], [-0.1]), ([1], [-0.1])])
    tree = drafter.draft(8)
    assert tree.path_along([2, 3]) and tree.path_along([5])


def test_retrieval_prefers_the_longest_context():
    drafter = Racer()
    drafter.observe([1, 2, 3, 9, 2, 4, 9, 2, 4, 1, 2])
    assert drafter.draft(1).tokens == [2, 3]


def test_the_least_recently_used_ngram_is_evicted():
    ngrams = Ngrams(size=2)
    ngrams.add((1,), 2)
    ngrams.add((3,), 4)
    assert ngrams.longest((9, 1)) == (1, {2: 1})
    ngrams.add((5,), 6)
    assert ngrams.longest((3,)) == (0, {}) and ngrams.longest((1,)) == (1, {2: 1})
