"""How the forward passes of a model run: with which attention, and in which cache."""

from typing import Any, Literal
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from dynatree.models.attention import GROUPED
from dynatree.models.chain_cache import ChainCache
from dynatree.models.kv_cache import TreeCache

Mode = Literal["grouped", "eager", "sdpa", "chain"]
"""Attention without copied keys, an attention of the model itself, or chains in the model's own cache and no trees."""
MODES: tuple[Mode, ...] = ("grouped", "eager", "sdpa", "chain")
IMPLEMENTATIONS: dict[Mode, str | None] = {"grouped": GROUPED, "eager": "eager", "sdpa": "sdpa", "chain": None}

_modes: WeakKeyDictionary[PreTrainedModel, Mode] = WeakKeyDictionary()


def mode_of(model: PreTrainedModel) -> Mode:
    """Return how the forward passes of a model run."""
    return _modes.get(model, "grouped")


def is_admitted(model: PreTrainedModel) -> bool:
    """Return True if :func:`set_mode` was called for a model."""
    return model in _modes


def set_mode(model: PreTrainedModel, mode: Mode) -> None:
    """Let the forward passes of a model run in another way, once a proof admits it."""
    _modes[model] = mode


def implementation_of(model: PreTrainedModel) -> str | None:
    """Return the attention of a model's forward passes, see :func:`dynatree.models.switch.attention_of`."""
    return IMPLEMENTATIONS[mode_of(model)]


def new_cache(model: PreTrainedModel, capacity: int) -> TreeCache | ChainCache:
    """Return an empty cache for one request.

    Args:
        model: target or draft.
        capacity: entries of a cache that takes trees.
    """
    if mode_of(model) == "chain":
        return ChainCache(model)
    kinds = layer_kinds(model)
    return TreeCache(len(kinds), capacity, kinds)


def layer_kinds(model: PreTrainedModel) -> list[Any]:
    """Return the kind of each layer of a model; layers of one kind lie on one device and have states of one shape."""
    config = model.config.get_text_config(decoder=True)
    count = config.num_hidden_layers
    types = getattr(config, "layer_types", None) or [None] * count
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return list(range(len(types)))
    return list(types)
