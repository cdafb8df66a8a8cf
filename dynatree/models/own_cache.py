"""The layer of a cache of this package: which methods of transformers it offers, and which it refuses."""

from typing import NoReturn

import torch
from transformers.cache_utils import CacheLayerMixin

from dynatree.errors import DynatreeError


class OwnLayer(CacheLayerMixin):
    """A layer whose entries only this package moves.

    transformers calls these methods for beams, assisted generation and offloading. The defaults of the mixin would
    replace tensors that belong to a shared buffer.
    """

    def crop(self, tokens_to_remove: int) -> None:
        self._refuse("crop", "assisted generation and prompt lookup")

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self._refuse("reorder_cache", "beam search")

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._refuse("batch_repeat_interleave", "several sequences from one prompt")

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self._refuse("batch_select_indices", "contrastive search")

    def offload(self) -> None:
        self._refuse("offload", "offloaded caches")

    def prefetch(self) -> None:
        self._refuse("prefetch", "offloaded caches")

    def reset(self) -> None:
        self._refuse("reset", "caches that are used again")

    def _refuse(self, method: str, use: str) -> NoReturn:
        raise DynatreeError(
            f"a {type(self).__name__} does not support {method}(), which {use} would need; use a DynamicCache for "
            "that, outside compress()"
        )
