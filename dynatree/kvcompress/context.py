"""``with compress(model, method):`` around ``model.generate`` of Hugging Face, or around any pass of the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.kvcompress.hf_cache import CompressedCache
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import make_method
from dynatree.models.attention import grouped


@dataclass
class CompressionContext:
    """A model inside :func:`compress`.

    Attributes:
        model: the model.
        method: its compression method.
        cache: cache of the latest request, to inspect or to continue with; None before the first pass.
    """

    model: PreTrainedModel
    method: Method
    cache: CompressedCache | None = field(default=None, init=False)

    def prepare(self, module: torch.nn.Module, args: tuple, inputs: dict) -> tuple[tuple, dict]:
        """Forward pre-hook: give a new request a compressed cache; a running one keeps its own.

        Raises:
            DynatreeError: a compressed cache does not support the pass.
        """
        states = args[0] if args else inputs.get("input_ids")
        states = inputs["inputs_embeds"] if states is None else states
        if "compressed" in inputs:
            raise DynatreeError("the model is inside compress() already; leave the outer one first")
        if inputs.get("use_cache") is False:
            raise DynatreeError("use_cache=False leaves nothing to compress; leave it out")
        if len(states) != 1:
            raise DynatreeError(f"compress() serves one sequence at a time, not a batch of {len(states)}")
        cache = self.cache = self._find_cache(inputs.get("past_key_values"))
        cache.guided = True
        _check_mask(inputs.get("attention_mask"), states.shape[1], cache.seen)
        if cache.method.rotates:
            start = cache.next_position
            inputs["position_ids"] = torch.arange(start, start + states.shape[1], device=states.device)[None]
        return args, inputs | {"past_key_values": cache, "compressed": cache, "use_cache": True}

    def finish(self, *_) -> None:
        """Forward hook: check uses of the cache outside the block again."""
        if self.cache is not None:
            self.cache.guided = False

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


@contextmanager
def compress(model: PreTrainedModel, method: str | Method, **options) -> Iterator[CompressionContext]:
    """Use a compressed cache in every pass of ``model`` within the block; restore the model afterwards.

    Args:
        model: GPT-NeoX or Llama. Greedy decoding, sampling and single passes work, one sequence at a time.
        method: name of a method, see :data:`dynatree.kvcompress.METHODS`, with its options; or the object.
        options: see ``method``.

    Yields:
        CompressionContext: its ``cache`` shows the kept entries and the memory held.

    Raises:
        DynatreeError: method, options or model are wrong; in the block, a pass is batched, padded or without a cache.
    """
    compression = CompressionContext(model, make_method(method, **options))
    CompressedCache(model, compression.method)  # raises errors here rather than in the first pass
    hooks = (
        model.base_model.register_forward_pre_hook(compression.prepare, with_kwargs=True),
        model.base_model.register_forward_hook(compression.finish, always_call=True),
    )
    try:
        with grouped(model):
            yield compression
    finally:
        for hook in hooks:
            hook.remove()
