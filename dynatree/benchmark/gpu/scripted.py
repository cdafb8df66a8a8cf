"""Pairs that follow a given text with a given acceptance rate: complete forward passes, replaced logits.

Acceptance depends on trained weights, while the time of a forward pass depends on shapes only. Random weights of any
shape, whose logits follow a script, therefore show the throughput at a known acceptance rate.
"""

import random
from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.trimmed_head import output_head

CERTAIN = 1e4  # logit of the target's next token; float16 holds it
ELSE = -30.0  # logit of tokens that the draft does not name
SECOND, THIRD = 0.5, 0.25  # share of the remaining probability of the draft's second and third candidate
SPREAD = 1.2  # sum of the parameters of the beta distribution of confidences: many high, some low


class NotedRotary(nn.Module):
    """Rotary embeddings that keep the position ids of the current forward pass.

    Args:
        inner: the rotary embeddings of the model.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.positions: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor):
        self.positions = position_ids
        return self.inner(x, position_ids)


class ScriptedHead(nn.Module):
    """An output head that computes its logits and replaces them by those of the position.

    Args:
        head: the head of the model.
        rotary: supplies the positions.
        ids: [positions, k] tokens after each position.
        scores: [positions, k] their logits.
        only: True if all other tokens get the same low logit, as the probabilities of a draft need.
    """

    ids: torch.Tensor
    scores: torch.Tensor

    def __init__(self, head: nn.Module, rotary: NotedRotary, ids: torch.Tensor, scores: torch.Tensor, only: bool):
        super().__init__()
        self.head = head
        self.weight = head.weight
        self.noted = [rotary]  # a list, so that the module is not a part of the head, too
        self.register_buffer("ids", ids)
        self.register_buffer("scores", scores)
        self.only = only

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.head(hidden)
        positions = self.noted[0].positions
        if positions is None:
            raise DynatreeError("a scripted head runs after the layers of its model; call the complete model")
        rows = positions[..., -hidden.shape[-2] :].clamp(max=len(self.ids) - 1).expand(hidden.shape[:-1])
        if self.only:
            logits = logits * 0 + ELSE
        return logits.scatter(-1, self.ids[rows], self.scores[rows].to(logits.dtype))


def follow_script(
    target: PreTrainedModel, draft: PreTrainedModel, text: Sequence[int], acceptance: float, seed: int = 0
) -> None:
    """Let two models follow a text, in place.

    Args:
        target: emits the text.
        draft: names the next token first with a probability that equals its confidence.
        text: token ids; the prompt is its beginning.
        acceptance: mean probability that the draft's first candidate is right.
        seed: of the draft's errors.
    """
    following = torch.tensor(text[1:])[:, None]
    _replace_head(target, following, torch.full(following.shape, CERTAIN), only=False)
    ids, scores = candidates(text, draft.config.vocab_size, acceptance, seed)
    _replace_head(draft, ids, scores, only=True)


def candidates(text: Sequence[int], vocabulary: int, acceptance: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return three candidates [positions, 3] after each position, and their log-probabilities.

    A candidate is right as often as its probability says.
    """
    chance = random.Random(seed)
    ids: list[list[int]] = []
    probabilities: list[list[float]] = []
    for expected in text[1:]:
        first = min(max(chance.betavariate(SPREAD * acceptance, SPREAD * (1 - acceptance)), 0.02), 0.99)
        shares = [first, SECOND * (1 - first), THIRD * (1 - first)]
        wrong = chance.sample(range(vocabulary), 4)
        named = [token for token in wrong if token != expected][:3]
        place = chance.choices(range(4), [*shares, 1 - sum(shares)])[0]
        if place < 3:
            named[place] = expected
        ids.append(named)
        probabilities.append(shares)
    return torch.tensor(ids), torch.tensor(probabilities).log()


def _replace_head(model: PreTrainedModel, ids: torch.Tensor, scores: torch.Tensor, only: bool) -> None:
    """Replace the head once; another script of the same length changes its tables, which recorded passes read."""
    head, base = output_head(model), model.base_model
    if isinstance(head, ScriptedHead):
        head.ids.copy_(ids)
        head.scores.copy_(scores)
        return
    rotary = base.rotary_emb = NotedRotary(base.get_submodule("rotary_emb"))
    model.set_output_embeddings(ScriptedHead(head, rotary, ids, scores, only).to(model.device))
