"""Agreement of a draft with its target."""

from dynatree import ModelPair
from dynatree.data.random_model import byte_tokenizer
from dynatree.distillation.agreement import agreement
from tests.support.models import disturbed


def test_agreement_counts_the_tokens_that_the_draft_ranks_first(target):
    prompts = [[5, 6, 7], [8]]
    same = ModelPair(target, disturbed(target, noise=0.0), byte_tokenizer())
    assert agreement(same, prompts, 8) == {1: 1, 2: 1, 4: 1}
    shares = agreement(ModelPair(target, disturbed(target), byte_tokenizer()), prompts, 24)
    assert 0 < shares[1] < shares[4] < 1
