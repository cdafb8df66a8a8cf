"""``exact="strict"``: the tokens of plain decoding in half precision."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from dynatree.data.random_model import random_model
from dynatree.models.kernels.backend import use_small_batches
from dynatree.models.kernels.library import available
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model
from tests.support.strategies import KINDS, PROMPTS, methods, prompts

HALF = (torch.bfloat16, torch.float16)
LENGTH = 40


@functools.cache
def half_pair(kind: str, dtype: torch.dtype, seed: int = 0) -> ModelPair:
    """Return a pair in half precision whose logits are close to each other, so that rounding decides some tokens."""
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": 128, "num_hidden_layers": 2, "intermediate_size": 64}
    target = random_model(kind, seed, initializer_range=0.12, **sizes).eval().to(dtype)
    return ModelPair(target, disturbed(target, 0.02))


@functools.cache
def plain(kind: str, dtype: torch.dtype, seed: int, prompt: tuple[int, ...]) -> list[int]:
    return reference(half_pair(kind, dtype, seed).target, list(prompt), LENGTH, None)


@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(HALF),
    seed=st.integers(0, 3),
    method=methods(),
    prompt=prompts.map(tuple),
)
def test_output_is_that_of_plain_decoding_in_the_same_format(kind, dtype, seed, method, prompt):
    name, options = method
    out = generate(half_pair(kind, dtype, seed), list(prompt), name, LENGTH, None, exact="strict", **options)
    assert out.tokens == plain(kind, dtype, seed, prompt)


@pytest.mark.parametrize("dtype", HALF)
def test_without_it_rounding_changes_some_of_the_outputs(dtype):
    """Guards the test above: its models are close enough to ties."""
    tree = {"depth": 3, "branch": 3, "prune_probability": 0.0}
    requests = [(kind, seed, tuple(prompt)) for kind in KINDS for seed in range(4) for prompt in PROMPTS]
    assert any(
        generate(half_pair(kind, dtype, seed), list(prompt), "fixed_tree", LENGTH, None, **tree).tokens
        != plain(kind, dtype, seed, prompt)
        for kind, seed, prompt in requests
    )


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("kind", KINDS)
def test_each_output_of_a_batch_is_that_of_its_prompt_alone(kind, dtype):
    outputs = generate_batch(half_pair(kind, dtype), PROMPTS, "dynatree", LENGTH, None, exact="strict", node_budget=30)
    assert [out.tokens for out in outputs] == [plain(kind, dtype, 0, tuple(prompt)) for prompt in PROMPTS]


@pytest.mark.parametrize("dtype", HALF)
def test_custom_generate_returns_the_tokens_of_generate(dtype):
    pair = half_pair("llama", dtype)
    strict = custom_generate(pair.draft, "fixed_tree", exact="strict")
    options = {"max_new_tokens": LENGTH, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    ids = torch.tensor([[5, 9, 2, 7]])
    assert pair.target.generate(ids, custom_generate=strict, **options).equal(pair.target.generate(ids, **options))


def test_sampling_draws_the_tokens_of_decoding_without_a_draft():
    pair, sampling = half_pair("llama", torch.bfloat16), {"temperature": 0.9, "seed": 3, "exact": "strict"}
    expected = generate(pair, [5, 9], "autoregressive", LENGTH, None, **sampling).tokens
    assert generate(pair, [5, 9], "fixed_tree", LENGTH, None, **sampling).tokens == expected


def test_a_tree_wider_than_a_forward_pass_is_split():
    tree = {"depth": 4, "branch": 4, "prune_probability": 0.0, "node_budget": 200}
    out = generate(half_pair("llama", torch.bfloat16), [4], "fixed_tree", LENGTH, None, exact="strict", **tree)
    assert max(one.nodes for one in out.stats.rounds_log) > 128
    assert out.tokens == plain("llama", torch.bfloat16, 0, (4,))


@pytest.mark.skipif(not available(), reason="the kernels do not run on this system")
def test_kernels_for_small_batches_keep_the_bits_in_float32():
    target = use_small_batches(tiny_model("llama", 4))
    pair = ModelPair(target, disturbed(tiny_model("llama", 4)))
    expected = reference(target, [5, 9, 2, 7], LENGTH, None)
    for method in ("chain", "fixed_tree", "dynatree", "cost_aware"):
        assert generate(pair, [5, 9, 2, 7], method, LENGTH, None, exact="strict").tokens == expected


def test_what_excludes_it_is_refused_by_name():
    pair = half_pair("llama", torch.bfloat16)
    with pytest.raises(DynatreeError, match="exact must be 'strict' or None, not 'yes'"):
        generate(pair, [4], exact="yes")  # pyright: ignore[reportArgumentType]
    with pytest.raises(DynatreeError, match="leave out target_cache"):
        generate(pair, [4], exact="strict", target_cache="sliding_window:budget=8,every=8")
    eager = tiny_model("llama").bfloat16()
    eager.set_attn_implementation("eager")
    with pytest.raises(DynatreeError, match="the target uses 'eager'"):
        generate(ModelPair(eager), [4], exact="strict")
