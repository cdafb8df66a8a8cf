"""Speculative samples are the autoregressive ones, and those follow the target's distribution."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dynatree import DynatreeError, ModelPair, generate
from dynatree.models import sampling
from dynatree.models.sampling import Sampler, SamplingOptions, make_sampler
from dynatree.models.transfer import upload
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, tiny_model
from tests.support.strategies import KINDS, kinds, methods, pair_of, prompts


@given(
    kind=kinds,
    noise=st.sampled_from([0.02, 0.3]),
    method=methods(),
    prompt=prompts,
    length=st.integers(1, 30),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 5]),
    top_p=st.sampled_from([None, 0.6, 0.95]),
    seed=st.integers(0, 2**40),
)
def test_a_speculative_sample_is_the_autoregressive_one(
    kind, noise, method, prompt, length, temperature, top_k, top_p, seed
):
    pair = pair_of(kind, 0, noise)
    how = {"max_new_tokens": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    expected = generate(pair, prompt, "autoregressive", **how).tokens
    name, options = method
    assert generate(pair, prompt, name, **how, **options).tokens == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["chain", "dynatree", "cost_aware"])
def test_a_trimmed_draft_with_tokens_that_the_target_lacks(kind, method):
    target = tiny_model(kind, 2)
    draft = tiny_model(kind, 3, vocabulary=VOCABULARY + 16)
    trim_vocabulary(draft, range(VOCABULARY - 20, VOCABULARY + 16))
    pair, how = ModelPair(target, draft), {"max_new_tokens": 30, "temperature": 1.0, "seed": 3}
    assert generate(pair, [9, 8], method, **how).tokens == generate(pair, [9, 8], "autoregressive", **how).tokens


def test_draws_follow_the_distribution_of_the_target():
    pair = ModelPair(tiny_model("llama", 3))
    prompt, draws = [5, 9, 2], 3000
    logits = pair.target(torch.tensor([prompt])).logits[0, -1].detach() / 2
    counts = Counter(
        generate(pair, prompt, "autoregressive", 1, temperature=2.0, seed=seed).tokens[0] for seed in range(draws)
    )
    expected = logits.softmax(-1).double()
    common = [token for token in range(len(expected)) if expected[token] * draws >= 5]
    observed = [counts[token] for token in common]
    rest = draws - sum(observed)
    wanted = [float(expected[token]) * draws for token in common]
    assert chisquare([*observed, rest], [*wanted, draws - sum(wanted)]).pvalue > 1e-4


def test_cut_off_tokens_are_never_drawn():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    probabilities = logits.softmax(-1)[0]
    for top_k, top_p, kept in ((2, None, 2), (None, float(probabilities[:2].sum()) - 0.01, 2), (1, 0.99, 1)):
        samplers = [Sampler(1.0, top_k, top_p, seed, 4) for seed in range(200)]
        drawn = {int(sampler.add_gumbel_noise(logits.clone(), [0]).argmax()) for sampler in samplers}
        assert drawn == set(range(kept))


def test_the_draft_and_the_target_add_the_same_noise():
    sampler = Sampler(1.0, None, None, 7, 6)
    logits = torch.randn(2, 6)
    full = sampler.add_gumbel_noise(logits.clone(), [3, 4])
    chosen = torch.tensor([4, 0, 5])
    assert torch.equal(sampler.add_gumbel_noise(logits[:, chosen], [3, 4], chosen), full[:, chosen])
    assert torch.equal(sampler.add_gumbel_noise(logits[:, :5].clone(), [3, 4]), full[:, :5])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": 1.0, "top_k": 0}, "top_k must be"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p must lie"),
        ({"temperature": 1.0, "seed": -3}, "seed must be"),
        ({"top_k": 5}, "need a temperature above 0"),
    ],
)
def test_wrong_options_are_rejected(wrong, message):
    with pytest.raises(DynatreeError, match=message):
        make_sampler(SamplingOptions(**wrong), 8)


def test_the_noise_of_a_position_is_uploaded_once(monkeypatch):
    uploaded = []

    def count(values, device):
        uploaded.append(torch.as_tensor(values).numel())
        return upload(values, device)

    monkeypatch.setattr(sampling, "upload", count)
    sampler = Sampler(1.0, None, None, 7, 1000)
    first = sampler.add_gumbel_noise(torch.zeros(5, 1000), [3, 4, 4, 4, 5])
    assert torch.equal(first[1], first[2]) and not torch.equal(first[0], first[1])
    again = sampler.add_gumbel_noise(torch.zeros(3, 1000), [4, 5, 5])
    assert torch.equal(again, first[[1, 4, 4]])
    assert [size for size in uploaded if size >= 1000] == [1000] * 3
    sampler.add_gumbel_noise(torch.zeros(200, 1000), range(200))
    assert sum(map(len, sampler._noise.values())) == sampling.MAX_CACHED_POSITIONS
