"""Forward passes of few shapes, for compilers and CUDA graphs.

A forward pass is padded to one of a few widths and reads the complete cache, whose capacity is one of a few, too. Each
pair of width and capacity is one graph. Entries beyond the current length are masked. Padding tokens attend to the
first entry only and are written past the end, where the next pass overwrites them.
"""

import weakref
from collections import defaultdict
from collections.abc import Callable
from types import FunctionType, MethodType

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.forward import apply_head, hidden_states
from dynatree.models.kv_cache import Block, TreeCache
from dynatree.models.masks import fill_padded_mask
from dynatree.models.pair import ModelPair
from dynatree.models.positions import switching_length
from dynatree.models.transfer import upload
from dynatree.models.trimmed_head import output_head

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
CAPACITY_STEP = 256  # capacities are multiples of it
Buffers = dict[tuple, list[tuple[list[torch.Tensor], list[torch.Tensor]]]]  # capacity, dtype and device -> free buffers


def compile_pair(pair: ModelPair, backend: str | Callable | None = "inductor") -> ModelPair:
    """Return a pair of the same models with forward passes of static shapes, compiled at first use.

    Prompts, and passes over more than 64 tokens, stay ordinary passes. A tree whose shape is fixed beforehand (a chain,
    or a fixed tree that is not pruned and fits its budget) is drafted without host-device synchronization.

    Args:
        pair: target and draft; the given pair itself does not change.
        backend: backend of :func:`torch.compile`; "inductor" uses CUDA graphs on CUDA. None for static passes that are
            not compiled, which shows the cost of padding.

    Raises:
        DynatreeError: a model has changing rotary frequencies, which cannot be traced, or is on a CPU, where "inductor"
            is slower than ``load_pair(backend="auto")``.
    """
    compiled = ModelPair(pair.target, pair.draft, pair.tokenizer)
    for role, model in pair.models.items():
        _check(model, role, backend)
        compiled.static[role] = StaticModel(model, backend)
    return compiled


def _check(model: PreTrainedModel, role: str, backend: str | Callable | None) -> None:
    if backend is not None and switching_length(model.config) is not None:
        raise DynatreeError(
            f"the rotary frequencies of the {role} depend on the length of the text, which cannot be compiled; load it "
            "without compile=True"
        )
    if backend == "inductor" and model.device.type == "cpu":
        raise DynatreeError(
            f"compiled forward passes need CUDA, and the {role} is on a CPU, where they are slower than "
            "load_pair(..., backend='auto'); leave compile out"
        )


class StaticModel:
    """The static forward passes of one model, for all its requests.

    Buffers of finished requests serve later ones, because CUDA graphs record buffer addresses.

    Args:
        model: the Hugging Face model.
        backend: see :func:`compile_pair`.
    """

    def __init__(self, model: PreTrainedModel, backend: str | Callable | None):
        self.model = model
        self.backend = backend
        self._free: Buffers = defaultdict(list)
        self._graphs: dict[tuple[int, int], Callable] = {}

    @property
    def name(self) -> str:
        """Name of the kind of passes, for records of measurements."""
        return f"static, {getattr(self.backend, '__name__', self.backend)}"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Widths and capacities of the passes so far; each pair is a graph."""
        return list(self._graphs)

    def cache(self, capacity: int) -> "StaticCache":
        """Return a cache for at least ``capacity`` entries and the padding of a pass."""
        steps = -(-(capacity + WIDTHS[-1]) // CAPACITY_STEP)
        return StaticCache(self._free, self.model.config.num_hidden_layers, steps * CAPACITY_STEP)

    def serves(self, n: int, cached: int) -> bool:
        """Return True if a pass over ``n`` new tokens after ``cached`` ones is static."""
        return cached > 0 and n <= WIDTHS[-1]

    def forward(
        self, cache: "StaticCache", ids: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the logits [n, rows of the head] of new tokens and append their entries to ``cache``.

        Args:
            cache: a cache of this model that holds a prompt.
            ids: [n], on the device of the model.
            positions: [n], on the host.
            visible: see :meth:`dynatree.models.runner.ModelRunner.forward`.
        """
        n, device = len(ids), self.model.device
        width = next(width for width in WIDTHS if width >= n)
        padding = (0, width - n)
        mask = torch.zeros(1, 1, width, cache.capacity, dtype=torch.bool)
        fill_padded_mask(mask[0, 0], n, cache.length + n, visible)
        entries = torch.arange(cache.length, cache.length + width)
        places = upload(torch.stack((torch.nn.functional.pad(positions, padding), entries)), device)  # [2, width]
        ids = torch.nn.functional.pad(ids, padding)[None]
        if self._captured:
            torch.compiler.cudagraph_mark_step_begin()  # the logits of the pass before are no longer needed
        logits = self._graph(width, cache.capacity)(cache.states, ids, places, upload(mask, device))
        cache.rewind(cache.length + n)
        return logits[:n]

    def _graph(self, width: int, capacity: int) -> Callable:
        """Pass of one shape; each has a graph cache of its own, so a lookup does not try the other shapes."""
        if (width, capacity) not in self._graphs:
            self._graphs[width, capacity] = self._compiled()
        return self._graphs[width, capacity]

    def _compiled(self) -> Callable:
        if self.backend is None:
            return self._run
        mode = "reduce-overhead" if self._captured else None
        # The compiler keeps its graphs by code object, and limits how many one code object may have.
        code = StaticModel._run.__code__.replace()
        run = MethodType(FunctionType(code, globals()), self)
        return torch.compile(run, fullgraph=True, dynamic=False, backend=self.backend, mode=mode)

    @property
    def _captured(self) -> bool:
        """True if graphs are CUDA graphs."""
        return self.backend == "inductor" and self.model.device.type == "cuda"

    def _run(
        self, layers: list[torch.Tensor], ids: torch.Tensor, places: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits [width, rows of the head]; everything that varies between passes is in tensors.

        Args:
            layers: keys and values [1, kv_heads, capacity, head_dim] of each layer in turn, which the pass writes.
            ids: [1, width].
            places: [2, width]: position id of each token, and the entry that it is written to.
            mask: [1, 1, width, capacity].
        """
        positions, entries = places
        hidden = hidden_states(self.model, ids, positions[None], mask, _Writer(layers, entries))[0]
        return apply_head(output_head(self.model), hidden)


class _Writer:
    """The part of the cache interface that a transformers layer uses in a static pass."""

    def __init__(self, layers: list[torch.Tensor], entries: torch.Tensor):
        self.layers = layers
        self.entries = entries

    def update(self, key_states, value_states, index: int, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self.layers[2 * index], self.layers[2 * index + 1]
        return keys.index_copy_(2, self.entries, key_states), values.index_copy_(2, self.entries, value_states)


class StaticCache(TreeCache):
    """A :class:`TreeCache` with a borrowed buffer.

    The buffer begins with zeros because attention reads masked entries, too.

    Args:
        free: buffers of finished requests.
        num_layers: layers of the model.
        capacity: entries of the buffer.

    Attributes:
        states: the keys and values of each layer in turn, views of the buffer. A graph writes these inputs in place; it
            would copy the complete buffer.
    """

    def __init__(self, free: Buffers, num_layers: int, capacity: int):
        super().__init__(num_layers, capacity)
        self.states: list[torch.Tensor] = []
        self._free = free

    def allocate(self, block: Block, keys: torch.Tensor, values: torch.Tensor) -> None:
        if block.buffers:
            return
        if keys.shape != values.shape:
            raise DynatreeError("keys and values of different widths cannot be compiled; load the model without it")
        free = self._free[self.capacity, keys.dtype, keys.device]
        if free:
            block.buffers, self.states = free.pop()
            block.buffers[0].zero_()
        else:
            _, heads, _, head_dim = keys.shape
            block.buffers = [keys.new_zeros(2 * block.layers, 1, heads, self.capacity, head_dim)]
            self.states = list(block.buffers[0].unbind())
            for view in self.states:
                torch._dynamo.mark_static_address(view)
        weakref.finalize(self, free.append, (block.buffers, self.states))
