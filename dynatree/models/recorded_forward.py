"""A forward pass of one width over a fixed part of a cache, all of whose inputs lie in one tensor."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.models.ancestor_words import SCALARS, WORDS, AncestorWords, pack_words
from dynatree.models.forward import forward_logits
from dynatree.models.layout import PassLayout
from dynatree.models.modes import implementation_of
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import overwrite

Run = Callable[[], torch.Tensor]
Record = Callable[[Run], Run]


class RecordedForward:
    """A forward pass of fixed shape.

    Padding tokens attend to the first entry. They are written past the end, where the next forward pass overwrites
    them.

    Args:
        model: the Hugging Face model.
        buffers: keys and values [1, kv_heads, entries, width] of each layer.
        width: number of tokens, padding included.
        entries: entries of the buffers that the forward pass may use.
        record: turns a function that runs the forward pass into one that repeats it.
        kernel: True if a kernel reads the words of each token; False for a mask made from them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        buffers: Sequence[tuple[torch.Tensor, torch.Tensor]],
        width: int,
        entries: int,
        record: Record,
        kernel: bool,
    ):
        self._model = model
        self._states = [(keys[:, :, :entries], values[:, :, :entries]) for keys, values in buffers]
        self._width = width
        self._entries = entries
        self._kernel = kernel
        self._inputs = self._pack([0], [0], 1, None).to(buffers[0][0].device)
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
        on_device = isinstance(ids, torch.Tensor)
        overwrite(self._inputs, self._pack([] if on_device else ids, positions, length, visible))
        if isinstance(ids, torch.Tensor):
            self._inputs[SCALARS : SCALARS + len(ids)].copy_(ids)
        return self._run()

    def _pack(
        self, ids: Sequence[int], positions: Sequence[int], length: int, visible: torch.Tensor | None
    ) -> torch.Tensor:
        """Return all inputs as int64 on the host: scalars, ids, positions, limits and words."""
        width, new = self._width, len(positions)
        tokens = torch.zeros(2, width, dtype=torch.int64)
        tokens[0, : len(ids)], tokens[1, :new] = torch.tensor(ids), torch.tensor(positions)
        scalars, limits, bits = pack_words(visible, length, width, new)
        return torch.cat((scalars, tokens.flatten(), limits, bits.flatten()))

    def _forward(self) -> torch.Tensor:
        width = self._width
        scalars, ids, positions, limits, words = self._inputs.split([SCALARS, width, width, width, WORDS * width])
        visible = AncestorWords(scalars, limits, words.view(width, WORDS))
        rows = torch.arange(width, device=scalars.device)
        cache = Cache(layers=[_Layer(keys, values, scalars[3] + rows) for keys, values in self._states])
        layout = None
        if not self._kernel:
            entries = torch.arange(self._entries, device=scalars.device)
            layout = PassLayout(visible.mask(self._entries), positions[None], entries[None])
        return forward_logits(
            self._model,
            ids[None],
            positions[None],
            layout,
            cache,
            compressed=visible if self._kernel else None,
            implementation=implementation_of(self._model),
        )[0]


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
