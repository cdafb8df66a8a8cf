"""The backend "graphs": forward passes of few shapes, recorded as CUDA graphs of the ordinary kernels.

On a GPU, the kernel launches of an ordinary forward pass over few tokens take longer than its kernels. A graph launches
all of them at once. It repeats addresses and shapes, so all requests of a model share one buffer, one after the other.
"""

import weakref
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.ancestor_words import TREE_ENTRIES
from dynatree.models.attention import has_kernel
from dynatree.models.forward import accepted_arguments, forward_logits
from dynatree.models.kv_cache import Block, TreeCache
from dynatree.models.modes import layer_kinds, mode_of
from dynatree.models.pair import ModelPair
from dynatree.models.positions import served_positions, switching_length
from dynatree.models.recorded_forward import Record, RecordedForward, Run
from dynatree.models.state_embedding import reads_states
from dynatree.models.supported import is_hooked

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MAX_TEXT = 4096  # tokens; longer requests run ordinary forward passes
STEP = 512  # entries of the smallest part of the buffer that a mask covers; each further part is twice as large


class CudaGraphs:
    """Records functions as CUDA graphs that share a pool of memory.

    Args:
        device: the CUDA device.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Run) -> Run:
        """Return a function that repeats ``run``, whose result the next call overwrites."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(2):  # libraries allocate their workspace in the first calls
                run()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = run()

        def repeat() -> torch.Tensor:
            graph.replay()
            return logits

        return repeat


def use_graphs(pair: ModelPair, record: Record | None = None) -> ModelPair:
    """Let the forward passes of a pair repeat recorded ones, in place.

    The first request records all shapes, which takes about a tenth of a second each. Prompts, forward passes over more
    than 256 tokens and those of a batch stay ordinary. So does a second request while the first one runs.

    Args:
        pair: target and draft, on CUDA.
        record: turns a function into one that repeats it; None for CUDA graphs.

    Raises:
        DynatreeError: a model cannot be recorded.
    """
    for role, model in pair.models.items():
        if obstacle := _obstacle(model, record):
            raise DynatreeError(f"the {role} {type(model).__name__} {obstacle}; choose backend='stock'")
    for role, model in pair.models.items():
        pair.static[role] = GraphedModel(model, record or CudaGraphs(model.device))
    return pair


def suits_graphs(pair: ModelPair) -> bool:
    """Return True if :func:`use_graphs` takes all models of a pair."""
    return all(_obstacle(model, None) is None for model in pair.models.values())


def _obstacle(model: PreTrainedModel, record: Record | None) -> str | None:
    """Return why a model cannot be recorded; None if it can."""
    if record is None and model.device.type != "cuda":
        return f"is on the device {model.device}, and graphs need CUDA"
    if switching_length(model.config) is not None:
        return "has rotary frequencies that depend on the length of the text, which a graph cannot repeat"
    config = model.config.get_text_config(decoder=True)
    windows = [name for name in ("sliding_window", "attention_chunk_size") if getattr(config, name, None)]
    if (
        mode_of(model) != "grouped"
        or set(layer_kinds(model)) - {None, "full_attention"}
        or (windows and not getattr(config, "layer_types", None))
    ):
        return "has layers with windows or states of their own, which a graph cannot repeat"
    if "position_ids" not in accepted_arguments(type(model)) or getattr(config, "alibi", False):
        return "reads positions from a padding mask, which a graph cannot repeat"
    if reads_states(model):
        return "reads hidden states of the target, which recorded forward passes do not return"
    if any(is_hooked(module) for module in model.modules()):
        return "has hooks or offloaded weights, which a graph would skip"
    return None


class GraphedModel:
    """The recorded forward passes of one model, for all its requests.

    Args:
        model: the Hugging Face model.
        record: see :func:`use_graphs`.

    Attributes:
        name: kind of the forward passes, for records of measurements.
        entries: entries of the buffer.
        kernel: True if attention reads the entries in use and no mask, see
            :mod:`dynatree.models.kernels.split_attention`.
    """

    name = "graphs"

    def __init__(self, model: PreTrainedModel, record: Record):
        self.model = model
        self.kernel = has_kernel(model.device)
        self.entries = -(-(min(served_positions(model.config), MAX_TEXT) + WIDTHS[-1]) // STEP) * STEP
        self._record = record
        self._buffers: list[list[torch.Tensor]] = []  # of each block
        self._forwards: dict[tuple[int, int], RecordedForward] = {}
        self._is_lent = False

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Widths and entries of the recorded forward passes."""
        return list(self._forwards)

    @property
    def parts(self) -> list[int]:
        """Numbers of entries that forward passes are recorded for; the kernel reads the entries in use alone."""
        parts = [self.entries if self.kernel else STEP]
        while parts[-1] < self.entries:
            parts.append(min(2 * parts[-1], self.entries))
        return parts

    @property
    def buffer_bytes(self) -> int:
        """Memory of the buffer, which is never freed."""
        return sum(buffer.nbytes for block in self._buffers for buffer in block)

    def prepare(self) -> None:
        """Record the forward passes of all shapes, once.

        Outside of inference mode, because tensors that a recording creates must serve recordings of other programs.
        """
        if self._forwards:
            return
        with torch.inference_mode(False), torch.no_grad():
            cache = self._lend()
            start = torch.zeros(1, 1, dtype=torch.int64, device=self.model.device)
            forward_logits(self.model, start, start, None, cache)  # decides the shapes of the buffer
            states = [layer.block.views(layer.place) for layer in cache.layers]
            for width in reversed(WIDTHS):  # smaller ones find room in the memory of the largest
                for part in self.parts:
                    if width <= part:
                        self._forwards[width, part] = RecordedForward(
                            self.model, states, width, part, self._record, self.kernel
                        )

    def cache(self, capacity: int) -> "GraphCache | None":
        """Return a cache for a request; None if it is too long or another request has the buffer.

        Args:
            capacity: entries of the request.
        """
        if capacity > self.entries or self._is_lent:
            return None
        self.prepare()
        return self._lend()

    def _lend(self) -> "GraphCache":
        cache = GraphCache(self.model, self.entries, self._buffers)
        self._is_lent = True
        weakref.finalize(cache, self._take_back)
        return cache

    def _take_back(self) -> None:
        self._is_lent = False

    def serves(self, cache: object, new: int, visible: torch.Tensor | None) -> bool:
        """Return True if a forward pass is recorded.

        Args:
            cache: cache of the request.
            new: number of new tokens.
            visible: see :meth:`dynatree.models.runner.ModelRunner.forward`.
        """
        if not isinstance(cache, GraphCache) or not cache.length or new > WIDTHS[-1]:
            return False
        distinguished = 0 if visible is None else visible.shape[1]
        return cache.length + _width(new) <= self.entries and distinguished <= TREE_ENTRIES

    def forward(
        self,
        cache: TreeCache,
        ids: Sequence[int] | torch.Tensor,
        positions: Sequence[int],
        visible: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the logits [n, tokens of the head] of new tokens, and append their entries to ``cache``.

        Args:
            cache: from :meth:`cache`; it holds a prompt.
            ids: [n] token ids; a tensor if they are on the device.
            positions: position id of each token.
            visible: see :meth:`dynatree.models.runner.ModelRunner.forward`.
        """
        new, length = len(positions), cache.length
        width = _width(new)
        part = next(part for part in self.parts if part >= length + width)
        logits = self._forwards[width, part](ids, positions, length, visible)
        cache.rewind(length + new)
        return logits[:new]


def _width(new: int) -> int:
    return next(width for width in WIDTHS if width >= new)


class GraphCache(TreeCache):
    """A :class:`TreeCache` of a fixed size in the buffers of a :class:`GraphedModel`.

    Args:
        model: target or draft.
        entries: entries of the buffers.
        buffers: the buffers of each block; the first request adds them.
    """

    def __init__(self, model: PreTrainedModel, entries: int, buffers: list[list[torch.Tensor]]):
        kinds = layer_kinds(model)
        super().__init__(len(kinds), entries, kinds)
        self._lent = buffers

    def allocate(self, block: Block, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Use the buffers of earlier requests, emptied because attention reads masked entries, too."""
        if block.buffers:
            return
        index = next(index for index, one in enumerate(self.blocks) if one is block)
        if index == len(self._lent):
            block.allocate(keys, values, self.capacity)
            self._lent.append(block.buffers)
        block.buffers = self._lent[index]
        for buffer in block.buffers:
            buffer.zero_()
