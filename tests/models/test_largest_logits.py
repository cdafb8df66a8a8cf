"""The most likely tokens against a search of the complete row."""

import pytest
import torch

from dynatree.models.largest_logits import largest, top_successors

VOCABULARIES = (1, 7, 63, 64, 65, 128, 700, 1024, 1100)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_largest_is_the_first_of_equals(vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    scores = torch.randint(0, 40, (9, vocabulary), generator=generator).float() / 8
    values, ids = largest(scores)
    expected = scores.max(-1)
    assert torch.equal(values, expected.values)
    assert ids.tolist() == [row.index(max(row)) for row in scores.tolist()]


@pytest.mark.parametrize("position", [0, 70, 699])
def test_a_score_that_is_not_a_number_is_the_largest(position):
    scores = torch.zeros(2, 700)
    scores[1, position] = torch.nan
    values, _ = largest(scores)
    assert values[0] == 0 and values[1].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_top_successors_are_those_of_the_complete_row(vocabulary, dtype):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = (4 * torch.randn(5, vocabulary, generator=generator)).to(dtype)
    ids, log_probs = top_successors(logits, 4)
    expected = logits.float().log_softmax(-1)
    scores = expected.topk(min(4, vocabulary)).values
    assert torch.equal(expected.gather(1, ids), scores)
    assert all(len(set(row)) == len(row) for row in ids.tolist())
    assert torch.allclose(log_probs, scores, atol=0.2)
