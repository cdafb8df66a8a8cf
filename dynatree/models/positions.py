"""Positions that a model serves, and rotary frequencies that depend on the largest position of a forward pass."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel

CHANGING = ("dynamic", "longrope")


def served_positions(config: PretrainedConfig) -> int:
    """Return the number of positions that a model was made for, with its scaling; ``sys.maxsize`` if there is no limit.

    A checkpoint names either the positions before scaling, as "linear" and "dynamic" do, or those after it.
    """
    config = config.get_text_config(decoder=True)
    positions, parameters = getattr(config, "max_position_embeddings", None), _rotary(config)
    if positions is None:
        return sys.maxsize
    unscaled = parameters.get("original_max_position_embeddings") or positions
    return max(positions, int(unscaled * (parameters.get("factor") or 1)))


def switching_length(config: PretrainedConfig) -> int | None:
    """Return the tokens up to which all forward passes use the same rotary frequencies; None if they never change."""
    config = config.get_text_config(decoder=True)
    parameters = _rotary(config)
    if parameters.get("rope_type") not in CHANGING:
        return None
    if parameters["rope_type"] == "longrope":
        return parameters.get("original_max_position_embeddings") or config.max_position_embeddings
    return config.max_position_embeddings


def reading_again_length(model: PreTrainedModel) -> int | None:
    """Return the tokens after which ``generate`` reads the text again with other frequencies; None if it never does.

    Models that do so prepare the inputs of a forward pass in their own way, and compare with this entry.
    """
    own: Any = cast(Any, type(model)).prepare_inputs_for_generation
    if own is cast(Any, GenerationMixin).prepare_inputs_for_generation or switching_length(model.config) is None:
        return None
    return getattr(model.config, "original_max_position_embeddings", None)


def uniform_depth(config: PretrainedConfig, root: int) -> int | None:
    """Return how deep a tree may be so that all its nodes have the frequencies of plain decoding; None for any depth.

    transformers computes the frequencies of a forward pass from its largest position. "dynamic" ones change with every
    token beyond the switching length, "longrope" ones change once.

    Args:
        config: of the target.
        root: position of the root.
    """
    switch = switching_length(config)
    if switch is None or (root >= switch and _rotary(config.get_text_config(decoder=True))["rope_type"] == "longrope"):
        return None
    return max(0, switch - 1 - root)


@contextmanager
def unscaled_frequencies(model: PreTrainedModel) -> Iterator[None]:
    """Start from the frequencies of short texts within the block; restore those of the model afterwards.

    transformers keeps the frequencies of the longest text in the module, where the next request would use them.
    """
    rotary: Any = getattr(model.base_model, "rotary_emb", None)
    if rotary is None or switching_length(model.config) is None:
        yield
        return
    before, buffers = dict(vars(rotary)), dict(rotary._buffers)
    _reset(rotary)
    try:
        yield
    finally:
        state = vars(rotary)
        for name in state.keys() - before.keys():
            del state[name]
        state.update(before)
        rotary._buffers.clear()
        rotary._buffers.update(buffers)


def _reset(rotary: nn.Module) -> None:
    device = rotary.get_buffer("inv_freq").device
    rotary.register_buffer("inv_freq", rotary.get_buffer("original_inv_freq").to(device, copy=True), persistent=False)
    if hasattr(rotary, "original_max_seq_len"):
        rotary.max_seq_len_cached = rotary.original_max_seq_len


def _rotary(config: PretrainedConfig) -> dict[str, Any]:
    return getattr(config, "rope_parameters", None) or {}
