"""The account of a source."""

from dynatree.policies.source_account import CREDIT, SourceAccount


def test_a_source_without_tokens_is_left_out_after_the_time_of_its_credit():
    account, rounds = SourceAccount(), 0
    while account.pays(rate=2.0):
        account.observe(0.0, 0.1)
        rounds += 1
    assert rounds <= CREDIT / (2.0 * 0.1)
    account.start_trial()
    assert account.pays(rate=2.0)


def test_a_source_pays_while_it_emits_more_than_its_time_costs():
    account = SourceAccount()
    for _ in range(500):
        account.observe(0.2, 0.05)
    assert account.pays(rate=3.9) and not account.pays(rate=4.1)
