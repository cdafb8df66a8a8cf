"""``with compress(model, method):`` around ``model.generate`` of Hugging Face, or around any pass of the model."""

import inspect
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from weakref import WeakSet

import torch
from transformers import DynamicCache, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.kvcompress.hf_cache import CompressedCache
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import make_method
from dynatree.models.admission import admit
from dynatree.models.layout import compressed_cache, laid_out
from dynatree.models.supported import check_attention, plain_model
from dynatree.models.switch import attention_of


def _running_threads() -> "WeakSet[threading.Thread]":
    return WeakSet(threading.enumerate())


@dataclass
class CompressionContext:
    """A model inside :func:`compress`.

    Attributes:
        model: the model.
        method: its compression method.
        cache: cache of the latest request, to inspect or to continue with; None before the first pass.
        thread: the thread that entered the block; passes of ``others`` are not compressed.
        others: the threads that were running before.
    """

    model: PreTrainedModel
    method: Method
    cache: CompressedCache | None = field(default=None, init=False)
    thread: threading.Thread = field(default_factory=threading.current_thread, init=False, repr=False)
    pass_: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    others: WeakSet[threading.Thread] = field(default_factory=_running_threads, init=False, repr=False)

    def prepare(self, module: torch.nn.Module, args: tuple, inputs: dict) -> tuple[tuple, dict] | None:
        """Forward pre-hook: give a new request a compressed cache; a running one keeps its own.

        Raises:
            DynatreeError: a compressed cache does not support the pass.
        """
        if self._is_foreign():
            return None
        inputs = dict(zip(inspect.signature(module.forward).parameters, args, strict=False)) | inputs
        states = inputs.get("input_ids")
        states = inputs["inputs_embeds"] if states is None else states
        if compressed_cache() is not None:
            raise DynatreeError("the model is inside compress() already; leave the outer one first")
        if inputs.get("use_cache") is False:
            raise DynatreeError("use_cache=False leaves nothing to compress; leave it out")
        if inputs.get("output_attentions") or self.model.config.output_attentions:
            raise DynatreeError("the attention of a compressed cache gives no weights; leave out output_attentions")
        if len(states) != 1:
            raise DynatreeError(f"compress() serves one sequence at a time, not a batch of {len(states)}")
        cache = self.cache = self._find_cache(inputs.get("past_key_values"))
        cache.guided = True
        new = states.shape[1]
        _check_mask(inputs.get("attention_mask"), new, cache.seen)
        if cache.method.rotates:
            _check_positions(inputs.get("position_ids"), cache.seen, new)
            start = cache.next_position
            inputs["position_ids"] = torch.arange(start, start + new, device=states.device)[None]
        self.pass_ = ExitStack()
        self.pass_.enter_context(laid_out(None, cache))
        return (), inputs | {"past_key_values": cache, "use_cache": True}

    def finish(self, *_) -> None:
        """Forward hook: check uses of the cache outside the block again."""
        if self.cache is not None and threading.current_thread() is self.thread:
            self.cache.guided = False
            self.pass_.close()

    def _is_foreign(self) -> bool:
        """Return True in a thread that was running before the block.

        Raises:
            DynatreeError: the thread began inside the block, so it may expect a compressed cache.
        """
        current = threading.current_thread()
        if current is self.thread or current in self.others:
            return current is not self.thread
        raise DynatreeError(
            "the model is inside compress() of another thread; enter compress() in the thread that runs the model"
        )

    def _find_cache(self, given) -> CompressedCache:
        if isinstance(given, CompressedCache):
            return given
        if given is None or (type(given) is DynamicCache and given.get_seq_length() == 0):
            return CompressedCache(self.model, self.method)
        raise DynatreeError(
            f"compress() needs an empty DynamicCache or one of its own, not a {type(given).__name__} with "
            f"{int(given.get_seq_length())} tokens; leave out past_key_values and cache_implementation"
        )


def _check_mask(mask: torch.Tensor | None, new: int, seen: int) -> None:
    if mask is None or (new == 1 and seen):
        return  # generate extends the mask that was checked with the prompt
    if mask.ndim != 2:
        raise DynatreeError("compress() makes the masks itself and takes none of four dimensions")
    if not mask.all():
        raise DynatreeError("compress() takes no padding; leave the padding out of the prompt")


def _check_positions(given: torch.Tensor | None, seen: int, new: int) -> None:
    """Raise unless positions that a method replaces are those of the text."""
    if given is None:
        return
    expected = torch.arange(seen, seen + new, device=given.device)
    if not torch.equal(given.flatten().long(), expected):
        raise DynatreeError("rotate=True sets the positions of all tokens; leave out position_ids or set rotate=False")


@contextmanager
def compress(model: PreTrainedModel, method: str | Method, **options) -> Iterator[CompressionContext]:
    """Use a compressed cache in every pass of ``model`` within the block; restore the model afterwards.

    The block concerns the thread that enters it. Threads that were running before use the model as it is, and passes in
    threads that begin inside the block are refused.

    Args:
        model: GPT-NeoX or Llama, or a ``PeftModel`` around one. Greedy decoding, sampling and single passes work, one
            sequence at a time.
        method: name of a method, see :data:`dynatree.kvcompress.METHODS`, with its options; or the object.
        options: see ``method``.

    Yields:
        CompressionContext: its ``cache`` shows the kept entries and the memory held.

    Raises:
        DynatreeError: method, options or model are wrong; in the block, a pass is batched, padded or without a cache.
    """
    compression = CompressionContext(model, make_method(method, **options))
    plain = plain_model(model, "model")  # the layers inside an adapter
    admit(plain, "model")
    check_attention(plain, "model")
    CompressedCache(plain, compression.method)  # raises errors here rather than in the first pass
    hooks = (
        plain.base_model.register_forward_pre_hook(compression.prepare, with_kwargs=True),
        plain.base_model.register_forward_hook(compression.finish, always_call=True),
    )
    try:
        with attention_of(plain):
            yield compression
    finally:
        for hook in hooks:
            hook.remove()
