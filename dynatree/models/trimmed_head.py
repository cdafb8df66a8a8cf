"""Drafts with a trimmed output vocabulary.

The output head dominates the cost of a small draft, and rare tokens are hardly ever accepted. A trimmed head scores
only the tokens of a map. Only proposals change, so the output stays lossless. The idea is FR-Spec's (Zhao et al.,
2025).
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.supported import has_plain_weights, is_hooked


class TrimmedHead(nn.Module):
    """An output head over some tokens of the vocabulary.

    ``forward`` returns logits over the complete vocabulary, minus infinity where the head has no row, so the model
    remains an ordinary causal language model. :meth:`trimmed` returns only the rows of the head.

    Args:
        weight: [tokens, hidden], one row for each entry of ``token_map``.
        token_map: [tokens], token id of each row.
        vocabulary: size of the complete vocabulary.

    Attributes:
        compact: True while ``forward`` returns the logits of :meth:`trimmed`, so that a model scales or bounds them.
    """

    token_map: torch.Tensor
    compact = False

    def __init__(self, weight: torch.Tensor, token_map: torch.Tensor, vocabulary: int):
        super().__init__()
        with torch.device("meta"):
            self.rows = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.rows.weight = nn.Parameter(weight)
        self.register_buffer("token_map", token_map)
        self.vocabulary = vocabulary

    @property
    def weight(self) -> torch.Tensor:
        """Weight of the head [tokens, hidden]."""
        return self.rows.weight

    def trimmed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits [..., tokens] of the head's own rows, in the order of ``token_map``."""
        return self.rows(hidden)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.compact:
            return self.trimmed(hidden)
        logits = hidden.new_full((*hidden.shape[:-1], self.vocabulary), -torch.inf)
        logits[..., self.token_map] = self.trimmed(hidden)
        return logits


def output_head(model: PreTrainedModel) -> nn.Module:
    """Return the output head of a causal language model.

    Raises:
        DynatreeError: the model has none.
    """
    head: nn.Module | None = model.get_output_embeddings()
    if head is None:
        raise DynatreeError(f"a {type(model).__name__} has no output head; give a causal language model")
    return head


def trim_vocabulary(model: PreTrainedModel, token_ids) -> PreTrainedModel:
    """Trim the output head of ``model`` to the tokens in ``token_ids``, in place.

    Args:
        model: any Hugging Face causal language model with a bias-free output head.
        token_ids: distinct ids below the model's vocabulary size, for example the most frequent of a corpus.

    Raises:
        DynatreeError: an id is repeated or not in the vocabulary, there are none, or the head has a bias.
    """
    head = output_head(model)
    token_map = torch.as_tensor(token_ids, dtype=torch.int64)
    vocabulary = model.config.vocab_size
    if type(head) is not nn.Linear or is_hooked(head) or not has_plain_weights(head):
        raise DynatreeError(
            f"the output head is a {type(head).__name__} that is quantized, adapted or hooked, so its weight alone is "
            "not the head; trim the vocabulary before that"
        )
    if getattr(head, "bias", None) is not None:
        raise DynatreeError("the output head has a bias, which a trimmed head does not support")
    if token_map.ndim != 1 or len(token_map) == 0 or len(token_map.unique()) != len(token_map):
        raise DynatreeError("the tokens of a trimmed vocabulary must be a non-empty list without repetition")
    if token_map.min() < 0 or token_map.max() >= vocabulary:
        raise DynatreeError(f"a trimmed vocabulary names token {token_map.max()}, but the model has {vocabulary}")
    weight = head.get_parameter("weight").detach()
    weight = weight[token_map.to(weight.device)].clone()
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(TrimmedHead(weight, token_map.to(weight.device), vocabulary))
    return model
