"""Rotation of cached keys to other positions.

A rotary embedding rotates each pair of dimensions by an angle proportional to the position. A key therefore moves to
another position by a rotation by the difference. A scaling of the embedding, as in YaRN, is in the key already and is
not applied again.
"""

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.positions import CHANGING


def rotary_frequencies(model: PreTrainedModel) -> torch.Tensor:
    """Return the angles per position [rotated dimensions / 2] of a model, from its own rotary embedding.

    Raises:
        DynatreeError: the model has none, or its angles change with the length of the text.
    """
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is None:
        raise DynatreeError(f"a {model.config.model_type!r} model has no rotary embedding; set rotate=False")
    if rotary.rope_type in CHANGING:
        raise DynatreeError(
            f"rotary embeddings of type {rotary.rope_type!r} change with the length of the text, so cached keys "
            "cannot be rotated; set rotate=False"
        )
    return rotary.inv_freq


def rotate_keys(keys: torch.Tensor, shift: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Return keys as if their positions were larger by ``shift``, computed in float32.

    Args:
        keys: [..., length, head_dim], each rotated for some position. Only the first ``2 * len(frequencies)``
            dimensions carry a phase, as in GPT-NeoX.
        shift: [..., length] difference of positions, possibly negative.
        frequencies: [rotated dimensions / 2], see :func:`rotary_frequencies`.
    """
    half = len(frequencies)
    angles = shift[..., None].float() * frequencies.to(shift.device, torch.float32)  # [..., length, half]
    cos, sin = angles.cos(), angles.sin()
    left, right = keys[..., :half].float(), keys[..., half : 2 * half].float()
    turned = torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).to(keys.dtype)
    return torch.cat((turned, keys[..., 2 * half :]), dim=-1)
