"""Drafts that read hidden states of the target: the output stays exact, and each token gets the state before it."""

import pytest
import torch

from dynatree import DynatreeError, ModelPair, Past, generate, generate_batch, use_graphs
from dynatree.benchmark.hf_baselines import reference as hf_generate
from dynatree.latency.cost_model import CostModel
from dynatree.models.forward import hidden_states
from dynatree.models.loading import load_draft, save_borrowing_draft
from dynatree.models.runner import ModelRunner
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, reading_states, reference, tiny_model
from tests.support.simulated_clock import simulated_clock

METHODS = ("chain", "fixed_tree", "dynatree", "cost_aware")
COSTS = [CostModel((1, 32), (1,), [[one, 1.2 * one]]) for one in (20e-3, 1e-3)]  # seconds of target and draft
PROMPTS = ([5, 6, 7, 8, 9], [11, 4, 30], [40])


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    target = tiny_model("llama", 2)
    return ModelPair(target, reading_states(target))


@pytest.mark.parametrize("method", METHODS)
def test_output_is_that_of_plain_decoding(pair, method):
    for prompt in PROMPTS:
        found = generate(pair, prompt, method, 40, None)
        assert found.tokens == reference(pair.target, prompt, 40, None)
        assert method == "cost_aware" or found.stats.accepted > 5
    batch = generate_batch(pair, PROMPTS, method, 40, None)
    assert [one.tokens for one in batch] == [reference(pair.target, prompt, 40, None) for prompt in PROMPTS]


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_those_of_plain_decoding(pair, method):
    how = {"temperature": 0.8, "top_p": 0.9, "eos_token_id": None, "seed": 3}
    expected = generate(pair, PROMPTS[0], "autoregressive", 30, **how).tokens
    assert generate(pair, PROMPTS[0], method, 30, **how).tokens == expected


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_each_emitted_token_is_read_with_the_targets_state_before_it(pair, method, batch, monkeypatch):
    reads = []
    forward = ModelRunner.forward

    def recorded(self, tokens, positions, visible=None, last_only=False, states=None):
        if self.role == "draft" and last_only:  # emitted tokens
            reads.append((list(positions), states))
        return forward(self, tokens, positions, visible, last_only, states)

    monkeypatch.setattr(ModelRunner, "forward", recorded)
    prompt = PROMPTS[0]
    decode = (lambda *args: generate_batch(pair, [prompt], *args[2:])[0]) if batch else generate
    with simulated_clock(pair, *COSTS):  # a draft that pays
        text = prompt + decode(pair, prompt, method, 40, None).tokens
    states = hidden_states(pair.target, torch.tensor([text]))[0].detach()  # [text, hidden_size]
    before = torch.cat((torch.zeros_like(states[:1]), states[:-1]))
    assert sum(len(positions) for positions, _ in reads) > 20
    for positions, given in reads:
        torch.testing.assert_close(given, before[positions], atol=1e-4, rtol=1e-4)


def test_forced_tokens_are_read_with_their_states(pair):
    def force(ids, scores):
        allowed = torch.full_like(scores, -torch.inf)
        allowed[:, 17] = 0.0
        return allowed if ids.shape[1] % 4 < 2 else scores

    expected = generate(pair, PROMPTS[0], "autoregressive", 30, None, logits_processor=[force]).tokens
    for method in METHODS:
        assert generate(pair, PROMPTS[0], method, 30, None, logits_processor=[force]).tokens == expected


def test_a_conversation_reads_only_its_new_part(pair):
    past = Past()
    first = PROMPTS[0] + generate(pair, PROMPTS[0], "chain", 10, None, past=past).tokens
    second = [*first, 12, 13]
    assert generate(pair, second, "chain", 20, None, past=past).tokens == reference(pair.target, second, 20, None)


def test_a_compressed_draft_cache_changes_nothing(pair):
    found = generate(pair, PROMPTS[0], "fixed_tree", 60, None, draft_cache="streaming_llm:budget=16")
    assert found.tokens == reference(pair.target, PROMPTS[0], 60, None)


def test_a_saved_draft_is_the_same_draft(pair, tmp_path):
    draft = trim_vocabulary(reading_states(pair.target), range(0, VOCABULARY, 2))
    draft.set_input_embeddings(type(draft.get_input_embeddings()).of(pair.target.get_input_embeddings(), draft.config))
    save_borrowing_draft(draft, tmp_path)
    loaded = load_draft(tmp_path, pair.target, torch.device("cpu"), torch.float32)
    ids = torch.tensor([PROMPTS[0]])
    torch.testing.assert_close(loaded(ids).logits, draft(ids).logits, atol=0.01, rtol=0.01)  # saved in float16
    assert loaded.get_input_embeddings().tokens is pair.target.get_input_embeddings()


def test_what_has_no_states_refuses_the_draft(pair):
    with pytest.raises(DynatreeError, match="recorded forward passes do not return"):
        use_graphs(pair, record=lambda function: function)
    with pytest.raises(DynatreeError, match="keeps no hidden states"):
        generate(pair, PROMPTS[0], "chain", 4, exact="strict")
    with pytest.raises(DynatreeError, match="not one that reads states"):
        hf_generate(pair, PROMPTS[0], "assisted", 4)
    other = tiny_model("llama", 1)
    other.config.hidden_size *= 2
    with pytest.raises(DynatreeError, match="states of width"):
        ModelPair(other, pair.draft)
