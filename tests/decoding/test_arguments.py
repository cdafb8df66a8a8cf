"""Errors of ``generate`` and ``ModelPair`` for impossible arguments."""

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from dynatree import DynatreeError, ModelPair, generate
from tests.support.models import POSITIONS, VOCABULARY, disturbed, tiny_model


@pytest.fixture(scope="module")
def pair():
    target = tiny_model()
    return ModelPair(target, disturbed(target))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": [VOCABULARY]}, f"contains token {VOCABULARY}"),
        ({"prompt": [-1]}, "contains token -1"),
        ({"prompt": "text"}, "needs a tokenizer"),
        ({"prompt": torch.ones(2, 3, dtype=torch.long)}, "not a batch of 2"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"max_new_tokens": 2.5}, "max_new_tokens"),
        ({"max_new_tokens": POSITIONS}, f"the target has {POSITIONS}"),
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"method": "chain", "depth": 3}, "does not take depth; its options are length"),
        ({"method": "autoregressive", "length": 3}, "it has no options"),
        ({"method": "chain", "length": 0}, "length must be a whole number of at least 1"),
        ({"method": "fixed_tree", "prune_probability": 1.5}, "prune_probability must be a probability"),
        ({"node_budget": 0}, "node_budget must be"),
        ({"method": "dynatree", "base_depth": 9, "max_depth": 8}, "base_depth <= max_depth must hold"),
        ({"method": "dynatree", "low_confidence": 0.95}, "low_confidence <= high_confidence"),
        (
            {"method": "dynatree", "history": "wishful"},
            "history must be true, false or one of proportional, published_code",
        ),
        ({"eos_token_id": "never"}, "eos_token_id must be"),
    ],
)
def test_wrong_arguments_are_rejected(pair, arguments, message):
    with pytest.raises(DynatreeError, match=message):
        generate(pair, **{"prompt": [1, 2], "max_new_tokens": 8} | arguments)


def test_the_last_position_can_be_used(pair):
    assert len(generate(pair, [1, 2], "dynatree", POSITIONS - 2, None).tokens) == POSITIONS - 2


def test_the_error_for_a_draft_with_fewer_positions_names_the_draft():
    pair = ModelPair(tiny_model(), tiny_model(positions=16))
    with pytest.raises(DynatreeError, match="the draft has 16"):
        generate(pair, [1, 2], "chain", 20)
    assert len(generate(pair, [1, 2], "autoregressive", 20, None).tokens) == 20


def test_without_a_draft_autoregressive_works_and_dynatree_raises():
    pair = ModelPair(tiny_model())
    assert len(generate(pair, [1, 2], "autoregressive", 4, None).tokens) == 4
    with pytest.raises(DynatreeError, match="needs a draft model"):
        generate(pair, [1, 2], "dynatree", 4)


def test_vocabularies_and_architectures_must_fit():
    with pytest.raises(DynatreeError, match="the draft has 32 tokens"):
        ModelPair(tiny_model(), tiny_model(vocabulary=32))
    with pytest.raises(DynatreeError, match="'bert' model, which is refused: its tokens attend to later ones"):
        ModelPair(BertLMHeadModel(BertConfig(num_hidden_layers=1, hidden_size=24, vocab_size=16)))


@pytest.mark.parametrize("role", ["target", "draft"])
def test_logits_that_are_not_numbers_name_the_model(role):
    models = {"target": tiny_model(), "draft": tiny_model(seed=1)}
    with torch.no_grad():
        models[role].lm_head.weight[5] = torch.nan
    with pytest.raises(DynatreeError, match=f"the {role} model .* not finite"):
        generate(ModelPair(**models), [1, 2], "fixed_tree", 8)
