"""Drafts that read hidden states of their target beside the tokens.

The target has computed a hidden state for each emitted token, and it says more about the text than the tokens alone. A
draft that reads it needs one layer where a draft of tokens needs several. The idea is EAGLE's (Li et al., 2024).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel


class StateEmbedding(nn.Module):
    """Input embeddings of tokens, each mixed with the hidden state before its token.

    It takes the place of a model's input embeddings, so the model remains an ordinary causal language model.

    Args:
        embeddings: input embeddings of the target, which the draft shares.
        hidden_size: width of embeddings and states.
        token_norm, state_norm: applied to the embedding and to the state.
        bias: True for a linear map with a bias.

    Attributes:
        states: [batch, n, hidden_size]: last hidden states of the target before the tokens of the next forward pass,
            or those of the draft for drafted tokens; None for zeros.
    """

    states: torch.Tensor | None = None

    def __init__(
        self, embeddings: nn.Module, hidden_size: int, token_norm: nn.Module, state_norm: nn.Module, bias: bool
    ):
        super().__init__()
        self.tokens = embeddings
        self.token_norm = token_norm
        self.state_norm = state_norm
        self.mix = nn.Linear(2 * hidden_size, hidden_size, bias=bias)

    @classmethod
    def of(cls, embeddings: nn.Module, config: PreTrainedConfig) -> "StateEmbedding":
        """Return the embedding of a draft with this configuration."""
        norms = [nn.RMSNorm(config.hidden_size, config.rms_norm_eps) for _ in range(2)]
        return cls(embeddings, config.hidden_size, *norms, bias=False)

    @classmethod
    def plain(cls, embeddings: nn.Module, hidden_size: int, bias: bool) -> "StateEmbedding":
        """Return an embedding without norms."""
        return cls(embeddings, hidden_size, nn.Identity(), nn.Identity(), bias)

    @property
    def weight(self) -> torch.Tensor:
        """Weight of the token embeddings [vocabulary, hidden_size]."""
        return self.tokens.get_parameter("weight")

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # ids: [batch, n]
        tokens = self.tokens(ids)  # [batch, n, hidden_size]
        states = torch.zeros_like(tokens) if self.states is None else self.states.to(tokens)
        return self.mix(torch.cat((self.token_norm(tokens), self.state_norm(states)), dim=-1))


def token_embeddings(model: PreTrainedModel) -> nn.Module:
    """Return the embeddings of tokens alone, which a draft may share with its target."""
    embedding = model.get_input_embeddings()
    return embedding.tokens if isinstance(embedding, StateEmbedding) else embedding


def reads_states(model: PreTrainedModel | None) -> bool:
    """Return True for a draft that reads hidden states of its target."""
    return model is not None and isinstance(model.get_input_embeddings(), StateEmbedding)


@contextmanager
def given_states(model: PreTrainedModel, states: torch.Tensor | None) -> Iterator[None]:
    """Let a draft read hidden states in the forward pass of the block.

    Args:
        model: target or draft.
        states: [batch, n, hidden_size] hidden states before the new tokens; None for a model that reads none.
    """
    if states is None:
        yield
        return
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, StateEmbedding), "only a draft that reads states is given some"
    embedding.states = states
    try:
        yield
    finally:
        embedding.states = None


@contextmanager
def kept_states(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Yield a list that receives the last hidden states [batch, n, hidden_size] of each forward pass in the block."""
    kept: list[torch.Tensor] = []
    hook = model.base_model.register_forward_hook(lambda _module, _inputs, output: kept.append(output[0]))
    try:
        yield kept
    finally:
        hook.remove()
