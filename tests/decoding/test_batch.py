"""Batches of prompts: each output equals that of its prompt alone."""

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.decoding import batch_draft
from dynatree.decoding.batch_runner import BatchRunner
from dynatree.drafting.draft_model import ModelDrafter
from dynatree.drafting.hybrid import HybridDrafter
from dynatree.drafting.timed_draft import TimedDraft
from dynatree.latency.cost_model import CostModel
from dynatree.models import batch_cache
from dynatree.models.transfer import upload
from dynatree.policies.registry import make_policy
from tests.support.models import disturbed, reference, tiny_model
from tests.support.strategies import PROMPTS, pair_of

METHODS = ("autoregressive", "chain", "fixed_tree", "dynatree", "cost_aware")


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_those_of_each_request_alone(method):
    pair = pair_of("llama", 1, 0.06)
    how = {"temperature": 0.8, "top_p": 0.9, "eos_token_id": None}
    found = generate_batch(pair, PROMPTS, method, 20, seed=7, **how)
    for index, (prompt, out) in enumerate(zip(PROMPTS, found, strict=True)):
        assert out.tokens == generate(pair, prompt, "autoregressive", 20, seed=7 + index, **how).tokens


@pytest.mark.parametrize("method", METHODS)
def test_one_forward_pass_of_the_target_serves_the_whole_batch(method):
    target = tiny_model("gpt_neox", 2)
    pair = ModelPair(target, disturbed(target, 0.03))
    passes = []
    handle = target.base_model.register_forward_hook(lambda *_: passes.append(None))
    found = generate_batch(pair, PROMPTS, method, 30, None)
    handle.remove()
    assert len(passes) == 1 + max(out.stats.rounds for out in found)
    for out in found:
        seconds = out.stats.seconds
        assert seconds["total"] >= seconds["prefill"] + seconds["draft"] + seconds["verify"] > 0
        assert sum(entry.emitted for entry in out.stats.rounds_log) == 29


@pytest.mark.parametrize("method", ["chain", "dynatree", "cost_aware"])
def test_one_forward_pass_of_the_draft_serves_a_level_of_all_trees(method, monkeypatch):
    target, draft_passes, downloads, read = tiny_model("llama", 1), [], [], batch_draft.download
    pair = ModelPair(target, disturbed(target, 0.03))
    known = CostModel((1, 8), (64,), [[1.0, 1.1]]), CostModel((1, 8), (64,), [[0.01, 0.011]])
    pair.state.cost_models |= dict(zip(("target", "draft"), known, strict=True))
    monkeypatch.setattr(batch_draft, "download", lambda *given: downloads.append(given) or read(*given))
    pair.draft.base_model.register_forward_pre_hook(
        lambda _, given, options: draft_passes.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    prompts = [*PROMPTS[:3], [6, 7] * 20]
    found = generate_batch(pair, prompts, method, 24, None)
    assert [out.tokens for out in found] == [reference(target, prompt, 24, None) for prompt in prompts]
    asked = sum(len(out.stats.passes["draft"]) for out in found)
    assert len(downloads) == len(draft_passes) < 0.5 * asked
    assert (1, 41) in draft_passes  # the long prompt and its root, without padding of the others
    assert max(width for requests, width in draft_passes if requests > 1) <= batch_draft.MAX_PADDED
    for out in found:
        seconds = out.stats.seconds
        assert seconds["total"] >= seconds["prefill"] + seconds["draft"] + seconds["verify"] > 0


def test_a_request_pays_its_share_of_a_forward_pass():
    pair = pair_of("llama", 1, 0.06)
    member = BatchRunner(pair, "draft", [None, None], 50).members[0]
    drafter = ModelDrafter(member, make_policy("chain"), frozenset())
    timed = TimedDraft(drafter, CostModel((1, 2, 4), (10,), [[1.0, 1.5, 2.5]]), pair.clock)
    timed.begin_round(5, 4, 2)
    assert timed.seconds(2) == [0.75, 1.25]
    timed.begin_round(5, 4, 1)
    assert timed.seconds(2) == [1.0, 1.5]


def test_compressed_drafts_of_a_batch_stay_apart():
    pair = pair_of("llama", 1, 0.06)
    cache = {"method": "streaming_llm", "sinks": 2, "window": 10, "every": 8}
    found = generate_batch(pair, PROMPTS, "chain", 20, None, draft_cache=cache)
    assert [out.tokens for out in found] == [reference(pair.target, prompt, 20, None) for prompt in PROMPTS]


def test_entries_of_a_pass_are_uploaded_once_for_all_layers(monkeypatch):
    uploaded = []
    monkeypatch.setattr(batch_cache, "upload", lambda values, device: uploaded.append(values) or upload(values, device))
    pair = ModelPair(tiny_model("llama", 1, layers=3))
    out = generate_batch(pair, PROMPTS[:2], "autoregressive", 9, None)
    assert len(uploaded) == 2 * (1 + out[0].stats.rounds)


def test_a_request_ends_when_it_leaves_the_batch():
    target = tiny_model("llama", 2)
    pair = ModelPair(target, disturbed(target, 0.05))
    expected = [reference(target, prompt, 40, None) for prompt in PROMPTS]
    stop = expected[0][3]
    found = generate_batch(pair, PROMPTS, "cost_aware", 40, stop)
    lengths = [len(out.tokens) for out in found]
    assert lengths[0] == expected[0].index(stop) + 1 < max(lengths)
    longest = found[lengths.index(max(lengths))]
    assert found[0].stats.seconds["total"] < longest.stats.seconds["total"]


def test_drafters_receive_the_current_size_of_the_batch(monkeypatch):
    sizes = []
    drafting = HybridDrafter.drafting

    def spy(self, tree, context):
        sizes.append(context.batch)
        return drafting(self, tree, context)

    monkeypatch.setattr(HybridDrafter, "drafting", spy)
    pair = pair_of("llama", 1, 0.06)
    tokens = reference(pair.target, PROMPTS[0], 30, None)
    generate_batch(pair, PROMPTS[:2], "cost_aware", 30, tokens[2])
    assert sizes[:2] == [2, 2] and sizes[-1] == 1


def test_the_output_head_scores_only_the_last_token_of_a_prompt():
    scored = []
    pair = pair_of("llama", 1, 0.06)
    hook = pair.target.lm_head.register_forward_pre_hook(lambda head, rows: scored.append(rows[0].numel() // 48))
    generate_batch(pair, PROMPTS, "autoregressive", 3, None)
    hook.remove()
    assert scored[-3:] == [4, 4, 4]


def test_no_prompts_and_no_new_tokens_give_empty_results():
    pair = pair_of("llama", 0, 0.06)
    assert generate_batch(pair, []) == []
    assert [out.tokens for out in generate_batch(pair, PROMPTS, max_new_tokens=0)] == [[]] * 4


def test_a_half_precision_batch_runs():
    target = tiny_model("llama", 1).bfloat16()
    found = generate_batch(ModelPair(target, disturbed(target)), PROMPTS, "dynatree", 8, None)
    assert all(len(out.tokens) == 8 for out in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": make_policy("dynatree")}, "a policy object follows one request"),
        ({"prompts": [[5], []]}, "the prompt is empty"),
        ({"prompts": [[5], [1] * 120], "max_new_tokens": 20}, "needs? 140 positions"),
        ({"prompts": [torch.tensor([[1, 2], [3, 4]])]}, "one prompt at a time"),
    ],
)
def test_wrong_arguments_are_rejected(changes, message):
    with pytest.raises(DynatreeError, match=message):
        generate_batch(pair_of("llama", 0, 0.06), **{"prompts": PROMPTS, **changes})
