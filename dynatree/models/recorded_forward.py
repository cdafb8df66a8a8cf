"""A forward pass of one width over a fixed part of a cache, all of whose inputs lie in one tensor."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.models.forward import forward_logits
from dynatree.models.layout import PassLayout
from dynatree.models.modes import implementation_of
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import overwrite

TREE_ENTRIES = 512  # latest entries that a mask distinguishes; all earlier ones are visible
SCALARS = 3  # first entry that the mask distinguishes, entries before the pass, new tokens
Run = Callable[[], torch.Tensor]
Record = Callable[[Run], Run]


class RecordedForward:
    """A forward pass of fixed shape.

    Padding tokens attend to the entries before the tree and to the first entry. They are written past the end, where
    the next forward pass overwrites them.

    Args:
        model: the Hugging Face model.
        buffers: keys and values [1, kv_heads, entries, width] of each layer.
        width: number of tokens, padding included.
        entries: entries of the buffers that the forward pass reads.
        record: turns a function that runs the forward pass into one that repeats it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        buffers: Sequence[tuple[torch.Tensor, torch.Tensor]],
        width: int,
        entries: int,
        record: Record,
    ):
        self._model = model
        self._states = [(keys[:, :, :entries], values[:, :, :entries]) for keys, values in buffers]
        self._width = width
        self._entries = entries
        self._numbers = SCALARS + 2 * width
        self._inputs = self._pack([0], [0], 1, 1, None).to(buffers[0][0].device)
        self._run = record(self._forward)

    def __call__(
        self,
        ids: Sequence[int] | torch.Tensor,
        positions: Sequence[int],
        length: int,
        visible: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the logits [width, tokens of the head]; the next forward pass may overwrite them.

        Args:
            ids: [n] token ids; a tensor if they are on the device.
            positions: position id of each token.
            length: entries before the forward pass.
            visible: see :meth:`dynatree.models.runner.ModelRunner.forward`.
        """
        new = len(positions)
        start = length if visible is None else length + new - visible.shape[1]
        on_device = isinstance(ids, torch.Tensor)
        overwrite(self._inputs, self._pack([] if on_device else ids, positions, start, length, visible))
        if isinstance(ids, torch.Tensor):
            self._inputs[8 * SCALARS : 8 * (SCALARS + new)].view(torch.int64).copy_(ids)
        return self._run()

    def _pack(
        self, ids: Sequence[int], positions: Sequence[int], start: int, length: int, visible: torch.Tensor | None
    ) -> torch.Tensor:
        """Return all inputs as bytes on the host."""
        new, width = len(positions), self._width
        packed = torch.zeros(8 * self._numbers + width * TREE_ENTRIES, dtype=torch.uint8)
        numbers = packed[: 8 * self._numbers].view(torch.int64)
        values = [start, length, new, *ids, *[0] * (width - len(ids)), *positions]
        numbers[: len(values)] = torch.tensor(values)
        tree = packed[8 * self._numbers :].view(torch.bool).view(width, TREE_ENTRIES)
        if visible is None:
            visible = torch.ones(new, new, dtype=torch.bool).tril()
        tree[:new, : visible.shape[1]] = visible
        return packed

    def _forward(self) -> torch.Tensor:
        numbers = self._inputs[: 8 * self._numbers].view(torch.int64)
        start, length, new = numbers[:SCALARS].unbind()
        ids, positions = numbers[SCALARS:].view(2, 1, self._width)
        entries = torch.arange(self._entries, device=numbers.device)
        rows = torch.arange(self._width, device=numbers.device)
        mask = self._mask(start, new, entries, rows)
        cache = Cache(layers=[_Layer(keys, values, length + rows) for keys, values in self._states])
        layout = PassLayout(mask[None, None], positions, entries[None])
        return forward_logits(
            self._model, ids, positions, layout, cache, implementation=implementation_of(self._model)
        )[0]

    def _mask(self, start: torch.Tensor, new: torch.Tensor, entries: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the boolean mask [width, entries]."""
        tree = self._inputs[8 * self._numbers :].view(torch.bool).view(self._width, TREE_ENTRIES)
        offsets = entries - start
        in_tree = (offsets >= 0) & (offsets < TREE_ENTRIES)
        visible = tree.index_select(1, offsets.clamp(0, TREE_ENTRIES - 1)) & in_tree
        return visible | (offsets < 0) | ((rows >= new)[:, None] & (entries == 0))


class _Layer(OwnLayer):
    """The part of the cache interface that a layer of transformers uses in a recorded forward pass."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, entries: torch.Tensor):
        super().__init__()
        self.keys = keys
        self.values = values
        self.entries = entries
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        pass

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None
        keys = self.keys.index_copy_(2, self.entries, key_states)
        return keys, self.values.index_copy_(2, self.entries, value_states)

    def get_seq_length(self) -> int:
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        assert self.keys is not None
        return self.keys.shape[2], 0

    def get_max_length(self) -> int:
        assert self.keys is not None
        return self.keys.shape[2]
