"""Chains in a model's own cache, with snapshots."""

import pytest
import torch
from transformers import Qwen3NextConfig

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.models.chain_cache import READ_AGAIN, ChainCache
from dynatree.models.modes import mode_of
from dynatree.models.tiny_config import tiny_config, tiny_model
from tests.support.models import disturbed, reference

PROMPT = [5, 9, 2, 7]


@pytest.fixture(scope="module")
def recurrent():
    return tiny_model(tiny_config(Qwen3NextConfig()))


@pytest.fixture(scope="module")
def pair(recurrent):
    return ModelPair(recurrent, disturbed(recurrent, 0.01))


@pytest.mark.parametrize("method", ["autoregressive", "chain", "cost_aware"])
def test_a_recurrent_model_decodes_chains(pair, method):
    assert mode_of(pair.target) == "chain"
    out = generate(pair, PROMPT, method, 40, None)
    assert out.tokens == reference(pair.target, PROMPT, 40, None)
    assert method != "chain" or out.stats.accepted


@pytest.mark.parametrize("method", ["fixed_tree", "dynatree"])
def test_trees_of_a_recurrent_model_are_refused(pair, method):
    with pytest.raises(DynatreeError, match="takes chains and no trees; use method='chain'"):
        generate(pair, PROMPT, method, 8)


def test_a_batch_of_a_recurrent_model_is_refused(pair):
    with pytest.raises(DynatreeError, match="decode the prompts one by one"):
        generate_batch(pair, [PROMPT, PROMPT], "chain", 8)


def test_rejected_tokens_leave_no_trace(recurrent):
    cache, ids = ChainCache(recurrent), torch.randint(4, 100, (60,), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = recurrent(ids[None]).logits[0]
        read = 0
        for kept in (7, 1, 3, READ_AGAIN + 4, 2, 1, 5):
            wrong = torch.full((3,), 11)
            tokens = torch.cat((ids[read : read + kept], wrong))
            logits = cache.forward(tokens, range(read, read + len(tokens)), None, last_only=False)
            torch.testing.assert_close(logits[:kept], expected[read : read + kept], rtol=1e-3, atol=1e-3)
            cache.keep(read + kept, [])
            read += kept
    assert cache.length == read and cache.max_bytes > 0


def test_a_chain_is_kept_up_to_a_token(recurrent):
    cache = ChainCache(recurrent)
    with torch.inference_mode():
        cache.forward(torch.tensor(PROMPT), range(4), None, last_only=True)
    with pytest.raises(DynatreeError, match=r"cannot keep the entries \[3\] after 2"):
        cache.keep(2, [3])
    siblings = torch.tensor([[1, 1, 0], [1, 0, 1]]).bool()
    with pytest.raises(DynatreeError, match="verifies chains and no trees"):
        cache.forward(torch.tensor([4, 5]), [4, 4], siblings, last_only=False)
