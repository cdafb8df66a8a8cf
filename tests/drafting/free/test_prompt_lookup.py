"""Prompt lookup against the class of transformers."""

import random

import pytest
import torch
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

from dynatree.drafting.free.prompt_lookup import PromptLookup


@pytest.mark.parametrize("max_ngram", [1, 2, 3])
def test_drafts_are_those_of_transformers(max_ngram):
    random.seed(max_ngram)
    for length in range(2, 80):
        text = [random.randrange(5) for _ in range(length)]
        nodes = random.randrange(1, 6)
        theirs = PromptLookupCandidateGenerator(
            eos_token_id=torch.tensor([4]),
            num_output_tokens=nodes,
            max_matching_ngram_size=max_ngram,
            max_length=1000,
        ).get_candidates(torch.tensor([text]))[0][0, length:]
        drafter = PromptLookup(max_ngram, eos_token_ids=[4])
        drafter.observe(text[: length // 2] or text[:1])
        drafter.observe(text[max(length // 2, 1) :])
        assert drafter.draft(nodes).tokens[1:] == theirs.tolist(), text


def test_nothing_survives_a_request():
    drafter = PromptLookup()
    drafter.observe([1, 2, 1])
    assert drafter.draft(2).tokens == [1, 2, 1]
    drafter.begin_request()
    drafter.observe([1])
    assert drafter.draft(2).tokens == [1]
