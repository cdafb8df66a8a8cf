"""Logits processors and stopping criteria on trees: the output is that of plain ``generate``."""

import copy
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StopStringCriteria,
)

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from dynatree.data.random_model import byte_tokenizer
from dynatree.latency.cost_model import CostModel
from tests.support.models import EOS, VOCABULARY, disturbed, tiny_model

PROMPT = [5, 9, 2, 7, 9, 2]
EXAMPLES = {"dev": 12, "ci": 24, "nightly": 1000}[settings.get_current_profile_name()]
METHODS = ("autoregressive", "chain", "fixed_tree", "dynatree", "cost_aware")
TARGET = tiny_model(seed=1)
PAIR = ModelPair(TARGET, disturbed(TARGET, 0.03))
token = st.integers(0, VOCABULARY - 1)


def _forced(asked):
    """Return the forced tokens, which transformers does not let a request suppress."""
    return {asked[name] for name in ("forced_bos_token_id", "forced_eos_token_id") if name in asked}


BIASES = st.dictionaries(st.tuples(token) | st.tuples(token, token), st.sampled_from([-3.0, 2.5]), min_size=1)
PROMPTS = st.lists(st.lists(token, min_size=1, max_size=6), min_size=2, max_size=3)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.sampled_from([0.7, 1.05, 1.3, 4.0]),
        "encoder_repetition_penalty": st.sampled_from([0.8, 1.5]),
        "no_repeat_ngram_size": st.integers(1, 4),
        "encoder_no_repeat_ngram_size": st.integers(1, 3),
        "bad_words_ids": st.lists(st.lists(token, min_size=1, max_size=3), min_size=1, max_size=4),
        "sequence_bias": BIASES.map(lambda biases: [[list(ids), bias] for ids, bias in biases.items()]),
        "min_length": st.integers(1, 18),
        "min_new_tokens": st.integers(1, 12),
        "suppress_tokens": st.lists(token, min_size=1, max_size=9, unique=True),
        "begin_suppress_tokens": st.lists(token, min_size=1, max_size=30, unique=True),
        "forced_bos_token_id": token,
        "forced_eos_token_id": st.just(EOS),
        "exponential_decay_length_penalty": st.tuples(st.integers(0, 6), st.sampled_from([1.1, 2.0])),
        "renormalize_logits": st.just(True),
        "remove_invalid_values": st.just(True),
    },
).filter(
    lambda asked: not _forced(asked) & {*asked.get("suppress_tokens", ()), *asked.get("begin_suppress_tokens", ())}
)


@pytest.fixture(scope="module", autouse=True)
def fixed_costs():
    """Give each model a cost model without a measurement."""
    costs = CostModel((1, 2, 64), (1,), [[10.0, 10.5, 30.0]])
    with mock.patch("dynatree.drafting.factory.load_cost_model", return_value=costs):
        yield


def plain(prompt=PROMPT, **how):
    """Return the new tokens of ``model.generate``."""
    ids = torch.tensor([prompt])
    how = {"do_sample": False, "pad_token_id": 0, "max_new_tokens": 14} | how
    return TARGET.generate(ids, attention_mask=torch.ones_like(ids), **how)[0, len(prompt) :].tolist()


def with_settings(given_settings):
    """Return the pair with settings in the generation config of its target."""
    own = TARGET.generation_config
    target = copy.copy(TARGET)
    target.generation_config = copy.deepcopy(own)
    for name, value in given_settings.items():
        setattr(target.generation_config, name, value)
    return ModelPair(target, PAIR.draft)


@settings(max_examples=EXAMPLES)
@given(
    asked=SETTINGS, method=st.sampled_from(METHODS), prompt=st.lists(token, min_size=1, max_size=7), stop=token,
    call=st.sampled_from(["generate", "generate_batch", "custom_generate"]),
)  # fmt: skip
def test_any_combination_of_settings_gives_the_tokens_of_generate(asked, method, prompt, stop, call):
    stops = [EOS, stop]
    expected = plain(prompt, eos_token_id=stops, **asked)
    if call == "custom_generate":
        how = custom_generate(PAIR.draft, method)
        found = plain(prompt, eos_token_id=stops, custom_generate=how, **asked)
    elif call == "generate":
        found = generate(with_settings(asked), prompt, method, 14, stops).tokens
    else:
        outs = generate_batch(with_settings(asked), [prompt, PROMPT], method, 14, stops)
        found = outs[0].tokens
        assert outs[1].tokens == plain(eos_token_id=stops, **asked)
    assert found == expected


@settings(max_examples=EXAMPLES // 2)
@given(asked=SETTINGS, method=st.sampled_from(METHODS), prompts=PROMPTS)
def test_a_padded_batch_gives_the_rows_of_generate(asked, method, prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(one)) + one for one in prompts])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
    how = {"attention_mask": mask, "max_new_tokens": 10, "do_sample": False, "pad_token_id": 0} | asked
    expected = TARGET.generate(ids, **how)
    assert torch.equal(TARGET.generate(ids, custom_generate=custom_generate(PAIR.draft, method), **how), expected)


class Counting(LogitsProcessor):
    """A processor with a state: it forbids the last token's neighbor and every third call something else."""

    def __init__(self):
        self.texts = []

    def __call__(self, input_ids, scores):
        self.texts.append(input_ids[0].tolist())
        scores = scores.clone()
        scores[:, (int(input_ids[0, -1]) + 1) % VOCABULARY] = -torch.inf
        if len(self.texts) % 3 == 0:
            scores[:, : VOCABULARY // 2] -= 1.5
        return scores


class Sum(StoppingCriteria):
    """Ends a text when the sum of its ids exceeds a limit."""

    def __init__(self, limit):
        self.limit, self.texts = limit, []

    def __call__(self, input_ids, scores, **_):
        self.texts.append(input_ids[0].tolist())
        return input_ids.sum(-1) > self.limit


@pytest.mark.parametrize("method", METHODS)
def test_functions_with_a_state_are_called_as_in_plain_decoding(method):
    logs = []
    for how in ({}, {"custom_generate": custom_generate(PAIR.draft, method)}):
        functions = Counting(), Sum(150)
        tokens = plain(eos_token_id=None, logits_processor=[functions[0]], stopping_criteria=[functions[1]], **how)
        logs.append((tokens, functions[0].texts, functions[1].texts))
    functions = Counting(), Sum(150)
    out = generate(PAIR, PROMPT, method, 14, None, logits_processor=[functions[0]], stopping_criteria=[functions[1]])
    logs.append((out.tokens, functions[0].texts, functions[1].texts))
    assert 1 < len(logs[0][0]) < 14
    assert logs[0] == logs[1] == logs[2]


def test_a_processor_of_the_caller_replaces_that_of_the_checkpoint():
    asked = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}
    functions = [RepetitionPenaltyLogitsProcessor(2.0)]
    expected = plain(logits_processor=functions, **asked)
    assert expected != plain(**asked)
    assert generate(with_settings(asked), PROMPT, "dynatree", 14, logits_processor=functions).tokens == expected


@pytest.mark.parametrize("method", METHODS)
def test_stop_strings_end_the_text_after_the_token_that_completes_one(method):
    tokenizer = byte_tokenizer()
    full = plain(eos_token_id=None)
    stop = tokenizer.decode(full[6:8])
    expected = plain(eos_token_id=None, stop_strings=[stop], tokenizer=tokenizer)
    pair = ModelPair(TARGET, PAIR.draft, tokenizer)
    assert len(expected) < 14
    assert generate(pair, PROMPT, method, 14, None, stop_strings=[stop]).tokens == expected
    criterion = StopStringCriteria(tokenizer, [stop])
    assert generate(pair, PROMPT, method, 14, None, stopping_criteria=[criterion]).tokens == expected
    how = custom_generate(PAIR.draft, method)
    assert plain(eos_token_id=None, stopping_criteria=[criterion], custom_generate=how) == expected
    outs = generate_batch(pair, [PROMPT, [4]], method, 14, None, stop_strings=stop)
    assert outs[0].tokens == expected


def test_tokens_that_a_function_of_the_prefix_forces_are_exact():
    script = [11, 4, 30, 8, 8, 17, 2]

    def allowed(_, ids):
        done = len(ids) - len(PROMPT)
        return [script[done]] if done < len(script) else list(range(VOCABULARY))

    expected = plain(eos_token_id=None, prefix_allowed_tokens_fn=allowed)
    assert expected[: len(script)] == script
    how = custom_generate(PAIR.draft, "cost_aware")
    assert plain(eos_token_id=None, prefix_allowed_tokens_fn=allowed, custom_generate=how) == expected


class Script(LogitsProcessor):
    """Forces a text and says so."""

    tokens = (11, 4, 30, 8, 8, 17, 2)

    def forced_token(self, ids):
        done = ids.shape[1] - len(PROMPT)
        return self.tokens[done] if done < len(self.tokens) else None

    def __call__(self, input_ids, scores):
        token = self.forced_token(input_ids)
        if token is None:
            return scores
        forced = torch.full_like(scores, -torch.inf)
        forced[:, token] = 0
        return forced


@pytest.mark.parametrize("method", ["chain", "dynatree", "fixed_tree", "cost_aware"])
def test_a_processor_of_the_caller_may_name_forced_tokens(method):
    out = generate(PAIR, PROMPT, method, 14, None, logits_processor=[Script()])
    assert out.tokens == plain(eos_token_id=None, logits_processor=[Script()])
    first = out.stats.rounds_log[0]
    assert first.nodes == first.accepted == min(len(Script.tokens) - 1, 5 if method == "chain" else 9)
    assert not first.draft_passes


@pytest.mark.parametrize("method", ["autoregressive", "chain"])
def test_sampling_under_processors_has_the_distribution_of_generate(method):
    how = {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.7}
    how |= {"suppress_tokens": [1, 2], "max_new_tokens": 2, "eos_token_id": None, "pad_token_id": 0}
    ids = torch.tensor([PROMPT]).repeat(400, 1)
    torch.manual_seed(3)
    expected = TARGET.generate(ids, **how)[:, len(PROMPT) :]
    found = TARGET.generate(ids, custom_generate=custom_generate(PAIR.draft, method), **how)[:, len(PROMPT) :]
    for place in range(2):
        shares = [torch.bincount(rows[:, place], minlength=VOCABULARY) / len(ids) for rows in (expected, found)]
        assert (shares[0] - shares[1]).abs().max() < 0.1


def test_every_method_draws_the_same_tokens_under_processors():
    functions = [NoRepeatNGramLogitsProcessor(2)]
    drawn = [
        generate(PAIR, PROMPT, one, 14, None, 0.9, top_k=12, top_p=0.95, seed=5, logits_processor=functions).tokens
        for one in METHODS
    ]
    assert all(tokens == drawn[0] for tokens in drawn)


def test_scores_and_logits_are_those_of_generate():
    how = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0, "repetition_penalty": 1.4, "eos_token_id": None}
    how |= {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    expected = TARGET.generate(torch.tensor([PROMPT]), **how)
    found = TARGET.generate(torch.tensor([PROMPT]), custom_generate=custom_generate(PAIR.draft, "dynatree"), **how)
    assert torch.equal(found.sequences, expected.sequences)
    for name in ("scores", "logits"):
        for ours, theirs in zip(getattr(found, name), getattr(expected, name), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_several_outputs_of_a_prompt_follow_the_distribution_of_generate():
    how = {"max_new_tokens": 1, "do_sample": True, "pad_token_id": 0, "num_return_sequences": 500, "top_k": 4}
    rows = [
        TARGET.generate(torch.tensor([PROMPT]), repetition_penalty=1.5, **how, **ours)[:, -1]
        for ours in ({}, {"custom_generate": custom_generate(PAIR.draft)})
    ]
    shares = [torch.bincount(one, minlength=VOCABULARY) / 500 for one in rows]
    assert (shares[0] - shares[1]).abs().max() < 0.1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"logits_processor": [Counting()]}, "a Counting may mix the 2 rows of a batch"),
        ({"stopping_criteria": [Sum(9)], "eos_token_id": EOS}, "a Sum may mix the 2 rows"),
        ({"stopping_criteria": [Sum(9)], "eos_token_id": None}, "a batch without an end-of-sequence token"),
        ({"return_dict_in_generate": True, "output_scores": True}, "output_scores serves one prompt at a time"),
    ],
)
def test_a_batch_refuses_functions_that_may_mix_its_rows(how, message):
    with pytest.raises(DynatreeError, match=message):
        TARGET.generate(
            torch.tensor([PROMPT] * 2), custom_generate=custom_generate(), max_new_tokens=4, pad_token_id=0, **how
        )


def test_processors_that_exclude_everything_are_an_error_where_a_token_is_drawn():
    nothing = [lambda ids, scores: torch.full_like(scores, -torch.inf)]
    with pytest.raises(DynatreeError, match="exclude every token"):
        generate(PAIR, PROMPT, "chain", 4, temperature=1.0, logits_processor=nothing)


def test_stop_strings_need_a_tokenizer():
    with pytest.raises(DynatreeError, match="stop strings need a tokenizer"):
        generate(PAIR, PROMPT, "chain", 4, stop_strings=["a"])
