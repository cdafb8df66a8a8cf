"""The layout of the current forward pass: which entries a token attends to, and the positions of tokens and entries.

A model of transformers makes the masks of its layers itself, from functions of two indices: causal, windowed, chunked.
Here the same functions see positions instead of indices, so a window counts depths of a tree and not its rows.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, eager_mask, sdpa_mask

from dynatree.errors import DynatreeError
from dynatree.models.transfer import upload

MaskFunction = Callable[..., torch.Tensor]


@dataclass
class PassLayout:
    """The layout of a forward pass over a tree or over a padded batch.

    Attributes:
        visible: boolean [batch, 1, n, m]: which of the last ``m`` entries each new token attends to in a layer without
            a window; all earlier ones are visible.
        positions: [batch, n] position ids of the new tokens.
        entries: [batch, entries] position ids of all entries, the new ones included.
    """

    visible: torch.Tensor
    positions: torch.Tensor
    entries: torch.Tensor
    _masks: dict[torch.device, torch.Tensor] = field(default_factory=dict, repr=False)
    _positions: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)

    def mask(self, function: MaskFunction, device: torch.device) -> torch.Tensor:
        """Return the boolean mask [batch, 1, n, entries] of layers with a mask function of transformers.

        Args:
            function: takes indices of batch, head, query and key, which broadcast.
            device: device of the mask.
        """
        if device not in self._masks:
            visible = upload(self.visible, device)
            earlier = self.entries.shape[1] - visible.shape[3]
            self._masks[device] = torch.nn.functional.pad(visible, (earlier, 0), value=True) if earlier else visible
        visible = self._masks[device]
        if function is causal_mask_function:
            return visible
        if device not in self._positions:
            parts = self.positions[:, None, :, None], self.entries[:, None, None, :]
            self._positions[device] = upload(parts[0], device), upload(parts[1], device)
        queries, keys = self._positions[device]
        batch = torch.arange(len(visible), device=device)[:, None, None, None]
        mask = visible & function(batch, torch.zeros_like(batch), queries, keys)
        # Padding attends to the first entry, which a window may hide. Attention to nothing gives no number.
        mask[..., :1] |= ~mask.any(-1, keepdim=True)
        return mask


class PositionMask(torch.Tensor):
    """A padding mask of ones, whose cumulative sum counts positions instead of entries.

    Models without position ids compute the positions of their keys from it, for biases such as ALiBi.
    """

    positions: torch.Tensor

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        mask = args[0]
        if func in (torch.Tensor.cumsum, torch.cumsum):
            return mask.positions.to(mask.device) + 1
        result = super().__torch_function__(func, types, args, kwargs)
        if isinstance(result, cls) and func in (torch.Tensor.to, torch.Tensor.long):
            result.positions = mask.positions
            return result
        return result.as_subclass(torch.Tensor) if isinstance(result, cls) else result


def position_mask(layout: PassLayout, device: torch.device) -> PositionMask:
    """Return a padding mask [batch, entries] for the entries of a forward pass."""
    mask = torch.ones_like(layout.entries, device=device).as_subclass(PositionMask)
    mask.positions = layout.entries
    return mask


class LayerMask(torch.Tensor):
    """A placeholder for the mask of a layer whose cache makes the mask itself.

    Attributes:
        function: the mask function of the layer.
    """

    function: MaskFunction


def window_of(mask: Any) -> MaskFunction | None:
    """Return the mask function of a layer whose cache makes the mask; None if it is causal without a window.

    Args:
        mask: what the layer got as its mask.

    Raises:
        DynatreeError: the model changed the mask, so the function is unknown.
    """
    function = getattr(mask, "function", None)
    if function is None:
        raise DynatreeError("the model changes the masks of its layers, so its cache cannot be compressed")
    return None if function is causal_mask_function else function


def windowed(
    mask: torch.Tensor | None, function: MaskFunction, queries: torch.Tensor, entries: torch.Tensor
) -> torch.Tensor:
    """Return a mask [1, 1 or kv_heads, n, entries] limited to the window of a layer.

    Args:
        mask: boolean [1, 1 or kv_heads, n, entries]; None for a causal one.
        function: the mask function of the layer.
        queries: [n] positions of the new tokens.
        entries: [1 or kv_heads, entries] positions of the entries.
    """
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.int64, device=entries.device)
    allowed = function(zero, zero, queries[None, None, :, None], entries[None, :, None])
    return allowed if mask is None else mask & allowed


class _Current(threading.local):
    layout: PassLayout | None = None
    compressed: Any = None


_current = _Current()


@contextmanager
def laid_out(layout: PassLayout | None, compressed: Any = None) -> Iterator[None]:
    """Use a layout, or a cache that makes the masks of its layers, in forward passes of this thread in the block."""
    before = _current.layout, _current.compressed
    _current.layout, _current.compressed = layout, compressed
    try:
        yield
    finally:
        _current.layout, _current.compressed = before


def current_layout() -> PassLayout | None:
    """Return the layout of the current forward pass; None if causal attention is right."""
    return _current.layout


def compressed_cache() -> Any:
    """Return the object that makes the masks of the layers in the current forward pass; None without one."""
    return _current.compressed


def boolean_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    device: Any = "cpu",
    **options: Any,
) -> torch.Tensor | None:
    """Return the mask of a layer type in the current forward pass, see ``sdpa_mask`` of transformers."""
    layout = _current.layout
    if _current.compressed is not None:
        placeholder = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device).as_subclass(LayerMask)
        placeholder.function = mask_function
        return placeholder
    if layout is None:
        options["allow_is_bidirectional_skip"] = False  # None stands for a causal mask
        return sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,
            kv_offset,
            mask_function,
            attention_mask,
            device=device,
            **options,
        )
    padded = attention_mask is not None and not attention_mask.all()
    if options.get("use_vmap") or padded or kv_length != layout.entries.shape[1]:
        raise DynatreeError(
            f"a layer asks for the mask of {kv_length} entries by a function that is not one of indices, so no tree "
            "can be verified; use method='autoregressive'"
        )
    return layout.mask(mask_function, torch.device(device))


def _additive_mask(*args: Any, dtype: torch.dtype = torch.float32, **options: Any) -> torch.Tensor | None:
    """Return the mask for attention that adds it to the scores, see ``eager_mask`` of transformers."""
    if _current.layout is None:
        return eager_mask(*args, dtype=dtype, **options)
    mask = boolean_mask(*args, **options)
    assert mask is not None, "a layout has a mask"
    return torch.where(mask, torch.zeros((), dtype=dtype, device=mask.device), torch.finfo(dtype).min)


def _own_boolean_mask(*args: Any, **options: Any) -> torch.Tensor | None:
    return sdpa_mask(*args, **options) if _current.layout is None else boolean_mask(*args, **options)


AttentionMaskInterface.register("eager", _additive_mask)
AttentionMaskInterface.register("sdpa", _own_boolean_mask)
