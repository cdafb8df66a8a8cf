"""Training of a draft that reads hidden states, on its own states as in decoding.

While it drafts, the draft has no states of the target for drafted tokens, only its own. So each text is read several
times. Reading number k has states of the target up to k tokens back, and then those of the readings before. The method
is EAGLE-3's training-time test (Li et al., 2025).
"""

import torch
from transformers import DynamicCache, PreTrainedModel

from dynatree.models.forward import hidden_states
from dynatree.models.state_embedding import given_states

DECAY = 0.8  # weight of the loss of a reading over that of the reading before


def rollout(student: PreTrainedModel, tokens: torch.Tensor, states: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """Return the last hidden states of each reading.

    Args:
        student: a draft that reads hidden states.
        tokens: [sequences, length] int64.
        states: [sequences, length, hidden_size] last hidden states of the target after these tokens.
        steps: number of readings, the depth of the deepest drafted token.

    Returns:
        ``steps`` tensors [sequences, length, hidden_size]. The first k rows of reading k, counted from 0, are without
        meaning.
    """
    (sequences, length), cache, outputs = tokens.shape, DynamicCache(), []
    positions = torch.arange(length).expand(sequences, -1)
    for step in range(steps):
        mask = visible_entries(length, step).expand(sequences, 1, -1, -1)
        after = outputs[-1] if outputs else states.float()
        before = torch.cat((torch.zeros_like(after[:, :1]), after[:, :-1]), dim=1)
        with given_states(student, before):
            outputs.append(hidden_states(student, tokens, positions, mask, cache))
    return outputs


def visible_entries(length: int, step: int) -> torch.Tensor:
    """Return a boolean [length, length * (step + 1)]: the entries of all readings so far that a row attends to.

    Row i of reading k attends to rows 0 to i - k of reading 0, and to one row of each later reading: its ancestors
    among the drafted tokens, and itself.
    """
    rows = torch.arange(length)
    text = rows <= rows[:, None] - step
    return torch.cat([text, *(rows == rows[:, None] - step + later for later in range(1, step + 1))], dim=1)


def rollout_loss(
    student: PreTrainedModel, head: torch.nn.Module, batch: dict[str, torch.Tensor], labels: torch.Tensor, steps: int
) -> torch.Tensor:
    """Return the cross-entropy with the target's argmax over all readings, later ones with less weight.

    Args:
        student: a draft that reads hidden states.
        head: its output head over the rows that ``labels`` number.
        batch: "tokens" and "states" of sampled text.
        labels: [sequences, length] row of the head for each token's successor; -1 where the head has none.
        steps: number of readings.
    """
    total = torch.zeros(())
    for step, hidden in enumerate(rollout(student, batch["tokens"].long(), batch["states"], steps)):
        known = labels >= 0
        known[:, :step] = False
        loss = torch.nn.functional.cross_entropy(head(hidden[known]), labels[known])
        total = total + DECAY**step * loss
    return total
