"""Positions that a model serves, and rotary frequencies that depend on the largest position of a forward pass."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel

CHANGING = ("dynamic", "longrope")
ORIGINAL_LENGTH = "original_max_position_embeddings"
TABLE, ORIGINAL = "inv_freq", "original_inv_freq"  # ends of the names of buffers


def served_positions(config: PretrainedConfig) -> int:
    """Return the number of positions that a model was made for, with its scaling; ``sys.maxsize`` if there is no limit.

    A checkpoint names either the positions before scaling, as "linear" and "dynamic" do, or those after it. Where layer
    types are scaled differently, only scalings count that name the positions before.
    """
    config = config.get_text_config(decoder=True)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return sys.maxsize
    scalings = rotary_parameters(config)
    if len(scalings) > 1:
        scalings = [one for one in scalings if one.get("rope_type") == "dynamic" or ORIGINAL_LENGTH in one]
    unscaled = ((one.get(ORIGINAL_LENGTH) or positions, one) for one in scalings)
    return max([positions, *(int(length * (one.get("factor") or 1)) for length, one in unscaled)])


def rotary_parameters(config: PretrainedConfig) -> list[dict[str, Any]]:
    """Return the parameters of the rotary embedding of all layers, or those of each layer type; empty without one."""
    parameters = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    return [one for one in parameters.values() if isinstance(one, dict)] or [parameters]


def switching_length(config: PretrainedConfig) -> int | None:
    """Return the tokens up to which all forward passes use the same rotary frequencies; None if they never change."""
    return min((length for _, length in _switches(config)), default=None)


def _switches(config: PretrainedConfig) -> list[tuple[str, int]]:
    """Return the type and the switching length of each rotary embedding whose frequencies change."""
    config = config.get_text_config(decoder=True)
    found: list[tuple[str, int]] = []
    for one in rotary_parameters(config):
        length = config.max_position_embeddings if one.get("rope_type") in CHANGING else 0
        if one.get("rope_type") == "longrope":
            length = one.get(ORIGINAL_LENGTH) or length
        if length:
            found.append((one["rope_type"], length))
    return found


def reading_again_length(model: PreTrainedModel) -> int | None:
    """Return the tokens after which ``generate`` reads the text again with other frequencies; None if it never does.

    Models that do so prepare the inputs of a forward pass in their own way, and compare with this entry.
    """
    own: Any = cast(Any, type(model)).prepare_inputs_for_generation
    if own is cast(Any, GenerationMixin).prepare_inputs_for_generation or switching_length(model.config) is None:
        return None
    return getattr(model.config, ORIGINAL_LENGTH, None)


def uniform_depth(config: PretrainedConfig, root: int) -> int | None:
    """Return how deep a tree may be so that all its nodes have the frequencies of plain decoding; None for any depth.

    transformers computes the frequencies of a forward pass from its largest position. "dynamic" ones change with every
    token beyond the switching length, "longrope" ones change once.

    Args:
        config: of the target.
        root: position of the root.
    """
    switches = [length for kind, length in _switches(config) if kind == "dynamic" or root < length]
    return max(0, min(switches) - 1 - root) if switches else None


@contextmanager
def unscaled_frequencies(model: PreTrainedModel) -> Iterator[None]:
    """Start from the frequencies of short texts within the block; restore those of the model afterwards.

    transformers keeps the frequencies of the longest text in the module, where the next request would use them.
    """
    modules = rotary_modules(model) if switching_length(model.config) is not None else []
    states = [(dict(vars(one)), dict(one._buffers)) for one in modules]
    for one in modules:
        _reset(one)
    try:
        yield
    finally:
        for rotary, (before, buffers) in zip(modules, states, strict=True):
            state = vars(rotary)
            for name in state.keys() - before.keys():
                del state[name]
            state.update(before)
            rotary._buffers.clear()
            rotary._buffers.update(buffers)


def rotary_modules(model: PreTrainedModel) -> list[nn.Module]:
    """Return the modules that compute rotary embeddings from a table of frequencies."""
    return [one for one in model.modules() if any(name.endswith(TABLE) for name in one._buffers)]


def _reset(rotary: nn.Module) -> None:
    """Restore the frequencies of short texts; the tables of different layer types have different prefixes."""
    originals = {name: buffer for name, buffer in rotary.named_buffers(recurse=False) if name.endswith(ORIGINAL)}
    for name, buffer in originals.items():
        table = name.removesuffix(ORIGINAL) + TABLE
        device = rotary.get_buffer(table).device
        rotary.register_buffer(table, buffer.to(device, copy=True), persistent=False)
    for name in [name for name in vars(rotary) if name.endswith("max_seq_len_cached")]:
        setattr(rotary, name, getattr(rotary, "original_max_seq_len", getattr(rotary, name)))
