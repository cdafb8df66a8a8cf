"""Drafts with a trimmed vocabulary."""

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model


@torch.inference_mode()
def test_kept_tokens_keep_their_logits_and_others_are_impossible():
    model, kept = tiny_model(), [3, 5, 40]
    before = model(torch.tensor([[1, 2, 3]])).logits
    after = trim_vocabulary(model, kept)(torch.tensor([[1, 2, 3]])).logits
    torch.testing.assert_close(after[..., kept], before[..., kept])
    assert after.isneginf().sum(-1).unique().tolist() == [VOCABULARY - len(kept)]


@pytest.mark.parametrize("kept", [[7], list(range(10, 30))])
def test_generation_stays_exact_and_proposes_only_kept_tokens(kept):
    target = tiny_model(seed=4)
    pair = ModelPair(target, trim_vocabulary(disturbed(target), kept))
    out = generate(pair, [5, 6], "fixed_tree", 40, None, depth=2, branch=3, prune_probability=0.0)
    assert out.tokens == reference(target, [5, 6], 40, None)
    assert out.stats.verified > 0
    full = generate(ModelPair(target, disturbed(target)), [5, 6], "fixed_tree", 40, None, depth=2, branch=3)
    assert out.stats.accepted < full.stats.accepted


@pytest.mark.parametrize(
    ("tokens", "message"),
    [([], "non-empty"), ([1, 1], "without repetition"), ([VOCABULARY], f"names token {VOCABULARY}")],
)
def test_impossible_maps_are_refused(tokens, message):
    with pytest.raises(DynatreeError, match=message):
        trim_vocabulary(tiny_model(), tokens)


def test_a_model_without_an_output_head_is_refused():
    model = tiny_model().base_model
    with pytest.raises(DynatreeError, match=r"^a LlamaModel has no output head; give a causal language model$"):
        trim_vocabulary(model, [1])
