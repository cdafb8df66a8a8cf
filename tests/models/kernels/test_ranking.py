"""The ranking kernel against a search of the complete row."""

import pytest
import torch

from dynatree.models.kernels.ranking import largest_score, top_tokens
from tests.models.test_largest_logits import VOCABULARIES

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_largest_is_the_first_of_equals(vocabulary):
    scores = torch.randint(0, 40, (9, vocabulary)).float() / 8
    before = scores.clone()
    values, ids = largest_score(scores)
    assert torch.equal(values, scores.max(-1).values)
    assert ids.tolist() == [row.index(max(row)) for row in scores.tolist()]
    assert torch.equal(scores, before)


@pytest.mark.parametrize("position", [0, 70, 699])
def test_a_score_that_is_not_a_number_is_the_first_result(position):
    scores = torch.zeros(3, 700)
    scores[1, position], scores[2, position] = torch.nan, torch.inf
    values, _ = largest_score(scores)
    assert values[0] == 0 and values[1].isnan() and values[2] == torch.inf
    _, log_probs = top_tokens(scores, 4)
    assert log_probs[:, 0].isnan().tolist() == [False, True, True]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_top_tokens_are_those_of_the_complete_row(vocabulary):
    logits = 4 * torch.randn(5, vocabulary)
    before = logits.clone()
    expected = logits.log_softmax(-1).topk(min(4, vocabulary))
    for margin, tolerance in ((torch.inf, 1e-4), (6.0, 0.1)):
        ids, log_probs = top_tokens(logits, 4, margin)
        assert torch.equal(ids, expected.indices)
        assert torch.allclose(log_probs, expected.values, atol=tolerance)
    assert torch.equal(logits, before)


def test_excluded_tokens_come_last_and_stay_excluded():
    logits = torch.full((2, 130), -torch.inf)
    logits[:, [0, 129]] = torch.tensor([[1.0, 2.0], [3.0, 3.0]])
    before = logits.clone()
    ids, log_probs = top_tokens(logits, 4)
    assert ids[:, :2].tolist() == [[129, 0], [0, 129]]
    assert (log_probs[:, 2:] == -torch.inf).all()
    assert torch.equal(logits, before)
