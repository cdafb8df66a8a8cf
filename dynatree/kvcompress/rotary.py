"""Rotation of cached keys to other positions.

A rotary embedding rotates each pair of dimensions by an angle proportional to the position. A key therefore moves to
another position by a rotation by the difference. A scaling of the embedding, as in YaRN, is in the key already and is
not applied again. Which pairs a layer rotates, and by which frequencies, is read off its own keys.
"""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.exclusive import exclusive
from dynatree.models.forward import forward_logits
from dynatree.models.kv_cache import TreeCache
from dynatree.models.modes import implementation_of, layer_kinds
from dynatree.models.positions import (
    CHANGING,
    ORIGINAL,
    TABLE,
    rotary_modules,
    rotary_parameters,
    switching_length,
)
from dynatree.models.transfer import input_device

TOKENS, SHIFT = 4, 5  # of the keys that are compared
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # relative to the largest key; other formats round more
HALF_TOLERANCE = 5e-2


class Rotation(NamedTuple):
    """The rotation of the keys of a layer.

    Attributes:
        frequencies: [rotated dimensions / 2] angles per position.
        interleaved: True if dimensions 0 and 1 are a pair, False if dimension 0 pairs with the first of the other half.
    """

    frequencies: torch.Tensor
    interleaved: bool = False


_known: WeakKeyDictionary[PreTrainedModel, list[Rotation]] = WeakKeyDictionary()


def rotary_frequencies(model: PreTrainedModel) -> torch.Tensor:
    """Return the angles per position [rotated dimensions / 2] of the first layer of a model.

    Raises:
        DynatreeError: see :func:`layer_rotations`.
    """
    return layer_rotations(model)[0].frequencies


def layer_rotations(model: PreTrainedModel) -> list[Rotation]:
    """Return the rotation of the keys of each layer, found by comparing keys at different positions.

    Raises:
        DynatreeError: the model has no rotary embedding, its angles change with the length of the text, or its keys
            are rotated in another way.
    """
    if model not in _known:
        _known[model] = _find_rotations(model)
    return _known[model]


def _find_rotations(model: PreTrainedModel) -> list[Rotation]:
    tables = [
        table
        for rotary in rotary_modules(model)
        for name, table in rotary.named_buffers(recurse=False)
        if name.endswith(TABLE) and not name.endswith(ORIGINAL)
    ]
    if not tables:
        raise DynatreeError(f"a {model.config.model_type!r} model has no rotary embedding; set rotate=False")
    if switching_length(model.config) is not None:
        kinds = [one["rope_type"] for one in rotary_parameters(model.config) if one.get("rope_type") in CHANGING]
        raise DynatreeError(
            f"rotary embeddings of type {kinds[0]!r} change with the length of the text, so cached keys "
            "cannot be rotated; set rotate=False"
        )
    candidates = [Rotation(table, interleaved) for interleaved in (False, True) for table in tables]
    candidates += [Rotation(torch.zeros_like(table)) for table in tables[:1]]  # a layer without positions
    before, after = _keys_at(model, 0), _keys_at(model, SHIFT)
    if len(before) < len(layer_kinds(model)):
        raise DynatreeError(f"some layers of the {type(model).__name__} have no keys of their own; set rotate=False")
    found = [
        next((one for one in candidates if _moves(one, old, new)), None) for old, new in zip(before, after, strict=True)
    ]
    rotations = [one for one in found if one is not None]
    if len(rotations) < len(found):
        raise DynatreeError(
            f"the keys of layer {found.index(None)} of the {type(model).__name__} are not rotated by its frequencies "
            "alone; set rotate=False"
        )
    return rotations


def _moves(rotation: Rotation, before: torch.Tensor, after: torch.Tensor) -> bool:
    """Return True if a rotation moves keys [batch, kv_heads, TOKENS, head_dim] by ``SHIFT`` positions."""
    if 2 * len(rotation.frequencies) > before.shape[-1]:
        return False
    shift = torch.full((TOKENS,), SHIFT, device=before.device)
    gap = (rotate_keys(before, shift, *rotation).float() - after.float()).abs().max()
    return bool(gap <= TOLERANCE.get(before.dtype, HALF_TOLERANCE) * after.float().abs().max())


@torch.inference_mode()
def _keys_at(model: PreTrainedModel, start: int) -> list[torch.Tensor]:
    """Return the keys of each layer for the same tokens, which begin at a position."""
    kinds, device = layer_kinds(model), input_device(model)
    cache = TreeCache(len(kinds), TOKENS, kinds)
    ids = torch.arange(1, TOKENS + 1, device=device)[None]
    positions = torch.arange(start, start + TOKENS, device=device)[None]
    with exclusive([model]):
        forward_logits(model, ids, positions, cache=cache, implementation=implementation_of(model))
    return [layer.keys[:, :, :TOKENS].clone() for layer in cache.layers if layer.keys is not None]


def rotate_keys(
    keys: torch.Tensor, shift: torch.Tensor, frequencies: torch.Tensor, interleaved: bool = False
) -> torch.Tensor:
    """Return keys as if their positions were larger by ``shift``, computed in float32.

    Args:
        keys: [..., length, head_dim], each rotated for some position. Only the first ``2 * len(frequencies)``
            dimensions carry a phase, as in GPT-NeoX.
        shift: [..., length] difference of positions, possibly negative.
        frequencies: [rotated dimensions / 2] angles per position.
        interleaved: see :class:`Rotation`.
    """
    half = len(frequencies)
    angles = shift[..., None].float() * frequencies.to(shift.device, torch.float32)  # [..., length, half]
    cos, sin = angles.cos(), angles.sin()
    part = keys[..., : 2 * half].float()
    left, right = (part[..., 0::2], part[..., 1::2]) if interleaved else (part[..., :half], part[..., half:])
    turned = left * cos - right * sin, right * cos + left * sin
    joined = torch.stack(turned, dim=-1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)
    return torch.cat((joined.to(keys.dtype), keys[..., 2 * half :]), dim=-1)
