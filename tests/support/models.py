"""Tiny random models for tests, and the outputs expected of them."""

import copy

import torch

from dynatree import Generation
from dynatree.data.random_model import random_model
from dynatree.models.state_embedding import StateEmbedding

VOCABULARY = 48
POSITIONS = 128
EOS = 3


def tiny_model(
    kind: str = "llama", seed: int = 0, vocabulary: int = VOCABULARY, positions: int = POSITIONS, layers: int = 2
):
    """Return a random model of few tokens and positions."""
    sizes = {"vocab_size": vocabulary, "max_position_embeddings": positions, "num_hidden_layers": layers}
    return random_model(kind, seed, intermediate_size=64, eos_token_id=EOS, **sizes).eval()


def disturbed(model, noise: float = 0.06, seed: int = 1):
    """Return a copy of ``model`` with noise on every weight: a draft that is often right and often wrong."""
    generator = torch.Generator().manual_seed(seed)
    draft = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in draft.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * noise)
    return draft


def reading_states(target, seed: int = 1):
    """Return a copy of ``target`` that also reads hidden states: a draft that is often right and often wrong.

    The embeddings of ``target`` are scaled to the norm that the draft gives them.
    """
    width = target.config.hidden_size
    with torch.no_grad():
        tokens = target.get_input_embeddings().weight
        tokens.div_(tokens.pow(2).mean(-1, keepdim=True).sqrt().clamp(min=1e-6))  # padding is 0
        draft = copy.deepcopy(target)
        embedding = StateEmbedding.of(draft.get_input_embeddings(), draft.config)
        states = torch.randn(width, width, generator=torch.Generator().manual_seed(seed)) * 0.02
        embedding.mix.weight.copy_(torch.cat((torch.eye(width), states), dim=1))
    draft.set_input_embeddings(embedding)
    return draft


def check_counts(out: Generation, node_budget: int) -> None:
    """Assert that the statistics of a request agree with its tokens and with the budget."""
    stats, after_first = out.stats, max(0, len(out.tokens) - 1)
    cut_short = sum(one.accepted == one.emitted for one in stats.rounds_log)
    assert stats.rounds + stats.accepted == after_first + cut_short
    assert 0 <= stats.accepted <= stats.drafted_depth <= stats.verified
    assert all(one.nodes <= node_budget for one in stats.rounds_log)
    assert sum(one.emitted for one in stats.rounds_log) == after_first


def reference(model, prompt: list[int], max_new_tokens: int, eos_token_id="auto") -> list[int]:
    """Return the tokens that Hugging Face's greedy ``generate`` emits after ``prompt``."""
    own = model.generation_config  # generate() fills what a passed config leaves None from the model's own
    model.generation_config = copy.deepcopy(own)
    if eos_token_id != "auto":
        model.generation_config.eos_token_id = eos_token_id
    ids = torch.tensor([prompt])
    try:
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
        )
    finally:
        model.generation_config = own
    return out[0, len(prompt) :].tolist()
