"""LogitSpec."""

from dynatree.drafting.free.logit_spec import LogitSpec


def test_runners_up_follow_the_token_that_won_and_are_continued():
    drafter = LogitSpec()
    drafter.observe([4, 7, 8, 9, 1])
    drafter.observe([4], [([4, 7, 5], [-0.5, -1.5, -2.5])])
    tree = drafter.draft(8)
    assert tree.path_along([7, 8, 9]) == [1, 3, 4]
    assert tree.path_along([5]) == [2]


def test_the_latest_occurrence_is_continued():
    drafter = LogitSpec()
    drafter.observe([1, 2, 1, 3, 1])
    assert drafter.draft(2).tokens == [1, 3, 1]
