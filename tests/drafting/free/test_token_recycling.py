"""Token Recycling."""

from dynatree.drafting.free.token_recycling import RANK_SHARES, TokenRecycling, ranks_tree


def row(*ids):
    return list(ids), [-1.0] * len(ids)


def test_the_template_has_the_most_probable_ranks():
    assert ranks_tree(2) == (((0, 0),), ((0, 0),))
    assert sum(map(len, ranks_tree(64))) == 64
    assert all(rank < len(RANK_SHARES) for level in ranks_tree(64) for _, rank in level)


def test_the_table_survives_requests():
    drafter = TokenRecycling()
    drafter.observe([1])
    drafter.observe([2, 3], [row(2, 5), row(3, 6)])
    drafter.begin_request()
    drafter.observe([9, 1])
    tree = drafter.draft(4)
    assert tree.tokens == [1, 2, 5, 3] and tree.parents == [-1, 0, 0, 1]


def test_the_latest_prediction_counts():
    drafter = TokenRecycling()
    drafter.observe([1])
    drafter.observe([2, 1, 4], [row(2), row(1), row(4)])
    drafter.begin_request()
    drafter.observe([1])
    assert drafter.draft(1).tokens == [1, 4]


def test_an_unknown_token_has_no_draft():
    drafter = TokenRecycling()
    drafter.observe([1])
    assert drafter.draft(8).tokens == [1]
