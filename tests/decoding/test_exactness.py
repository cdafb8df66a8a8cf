"""Greedy output equals Hugging Face ``generate``, token for token."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatree import ModelPair, generate
from dynatree.models.trimmed_head import trim_vocabulary
from dynatree.policies.registry import make_policy
from tests.support.models import EOS, VOCABULARY, check_counts, disturbed, reference, tiny_model
from tests.support.strategies import KINDS, kinds, methods, pair_of, prompts, target_of


@given(
    kind=kinds,
    seed=st.integers(0, 5),
    noise=st.sampled_from([0.02, 0.06, 0.3]),
    method=methods(),
    prompt=prompts,
    length=st.integers(0, 40),
    eos=st.sampled_from(["auto", "none", "occurring", "two occurring"]),
    data=st.data(),
)
def test_output_equals_hugging_face(kind, seed, noise, method, prompt, length, eos, data):
    pair = pair_of(kind, seed, noise)
    free = reference(pair.target, prompt, 41, None)
    eos_token_id = {
        "auto": "auto",
        "none": None,
        "occurring": data.draw(st.sampled_from(free)),
        "two occurring": [data.draw(st.sampled_from(free)), data.draw(st.sampled_from(free)), VOCABULARY - 1],
    }[eos]
    expected = reference(pair.target, prompt, length, eos_token_id) if length else []
    name, options = method
    out = generate(pair, prompt, name, length, eos_token_id, **options)
    assert out.tokens == expected
    check_counts(out, options.get("node_budget", options.get("length", 0)))


@pytest.mark.parametrize("kind", KINDS)
def test_disagreeing_drafts_make_trees_branch_and_siblings_win(kind):
    """Guards the property test above: accepted paths really leave the draft's first choice."""
    pair = pair_of(kind, 0, 0.06)
    prompt = [5, 6, 7]
    wide = generate(pair, prompt, "fixed_tree", 80, None, depth=3, branch=3, prune_probability=0.0)
    chain = generate(pair, prompt, "chain", 80, None, length=3)
    assert 0 < chain.stats.accepted < chain.stats.drafted_depth
    assert wide.stats.rounds < chain.stats.rounds
    assert max(entry.nodes for entry in wide.stats.rounds_log) == 3 + 9 + 27


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("method", "options", "depth"),
    [
        ("chain", {"length": 4}, 4),
        ("fixed_tree", {"depth": 3, "branch": 2, "prune_probability": 0.0}, 3),
        ("dynatree", {"base_depth": 5, "max_depth": 5, "adapt_depth": False, "prune_probability": 0.0}, 5),
    ],
)
def test_a_perfect_draft_is_accepted_in_full(kind, method, options, depth):
    target = target_of(kind, 1)
    new = 1 + 8 * (depth + 1)
    out = generate(ModelPair(target, target), [4, 5, 6], method, new, None, **options)
    assert out.tokens == reference(target, [4, 5, 6], new, None)
    assert [entry.emitted for entry in out.stats.rounds_log] == [depth + 1] * 8
    assert out.stats.accepted == out.stats.drafted_depth == 8 * depth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trimmed", [False, True])
def test_drafts_of_another_architecture_dtype_and_vocabulary_keep_the_output_exact(kind, trimmed):
    """The draft may be another architecture in another format; ids the target lacks are never proposed."""
    target = target_of(kind, 2)
    draft = tiny_model("gpt_neox" if kind == "llama" else "llama", 3, vocabulary=VOCABULARY + 16).double()
    if trimmed:
        trim_vocabulary(draft, range(VOCABULARY - 20, VOCABULARY + 16))
    out = generate(ModelPair(target, draft), [9, 8], "fixed_tree", 30, None, depth=2, branch=4, prune_probability=0.0)
    assert out.tokens == reference(target, [9, 8], 30, None)
    assert out.stats.verified > 0


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_decoding_restores_the_attention_setting_of_the_model(attention):
    target = tiny_model("llama", 0)
    target.set_attn_implementation(attention)
    out = generate(ModelPair(target, disturbed(target)), [4, 5], "dynatree", 20, None)
    assert out.tokens == reference(target, [4, 5], 20, None)
    assert target.config._attn_implementation == attention


def test_prompts_of_every_form_agree():
    pair = pair_of("llama", 0, 0.06)
    expected = generate(pair, [4, 5, 6], max_new_tokens=10).tokens
    for prompt in (torch.tensor([4, 5, 6]), torch.tensor([[4, 5, 6]]), (4, 5, 6)):
        assert generate(pair, prompt, max_new_tokens=10).tokens == expected


def test_a_policy_object_learns_across_requests():
    pair = pair_of("llama", 0, 0.3)
    policy = make_policy("dynatree", history="published_code", base_depth=5)
    for start in range(6):
        generate(pair, [start + 4], policy, 24, None)
    assert policy.current.base_depth < 5


def test_tokens_are_reported_as_they_are_emitted():
    pair = pair_of("gpt_neox", 0, 0.06)
    seen: list[tuple[list[int], int]] = []
    out = generate(pair, [4, 5, 6], "dynatree", 40, None, on_tokens=lambda *args: seen.append(args))
    assert [token for tokens, _ in seen for token in tokens] == out.tokens
    assert sum(accepted for _, accepted in seen) == out.stats.accepted
    assert len(seen) == out.stats.rounds + 1


def test_eos_in_the_prompt_does_not_stop_and_a_first_token_eos_does():
    pair = pair_of("llama", 0, 0.06)
    first = reference(pair.target, [EOS, 5], 1, None)[0]
    assert generate(pair, [EOS, 5], "dynatree", 20, first).tokens == [first]
    assert len(generate(pair, [EOS, 5], "dynatree", 20, None).tokens) == 20
