"""A target and its draft, whether they fit, and the forward pass of either.

Only this file calls a forward pass of transformers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.models.attention import grouped
from dynatree.models.trimmed_head import TrimmedHead

if TYPE_CHECKING:
    from dynatree.models.compiled import StaticModel

ARCHITECTURES = ("gpt_neox", "llama")


def apply_head(head: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [n, rows of the head] at ``hidden`` [n, hidden_size].

    In float32 on a CPU, MKL multiplies the tall weight by a few columns faster than a few rows by the wide weight.
    """
    plain = type(head) is TrimmedHead or (type(head) is torch.nn.Linear and head.bias is None)
    if plain and len(hidden) > 1 and hidden.device.type == "cpu" and hidden.dtype == torch.float32:
        return (head.weight @ hidden.T).T
    return head.trimmed(hidden) if isinstance(head, TrimmedHead) else head(hidden)


@dataclass
class ModelPair:
    """A target model and the draft that proposes for it.

    Args:
        target: Hugging Face causal language model, GPT-NeoX or Llama architecture.
        draft: a smaller one over the same tokens, possibly on another device or in another dtype; None if only
            autoregressive decoding is wanted.
        tokenizer: turns prompts into token ids and back; without one, prompts must be token ids.

    Attributes:
        learnt: what decoding has learnt of the pair, for later requests; no tokens of any.
        clock: tells the time in seconds.
        static: passes of static shapes, by "target" and "draft"; see :func:`dynatree.compile_pair`.

    Raises:
        DynatreeError: an architecture is not supported or the vocabularies do not fit.
    """

    target: PreTrainedModel
    draft: PreTrainedModel | None = None
    tokenizer: Any = None
    learnt: dict = field(default_factory=dict, init=False, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.perf_counter, init=False, repr=False, compare=False)
    static: dict[str, "StaticModel"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        check_architecture(self.target, "target")
        self.target.eval()
        if self.draft is not None:
            check_architecture(self.draft, "draft")
            check_vocabularies(self.target, self.draft, self.tokenizer)
            self.draft.eval()

    @property
    def device(self) -> torch.device:
        """Device of the target."""
        return self.target.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the target."""
        return self.target.dtype


def check_architecture(model: PreTrainedModel, role: str) -> None:
    """Raise unless the model's architecture is one whose tree forward pass is exact."""
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise DynatreeError(f"the {role} is a {kind!r} model; supported are {', '.join(ARCHITECTURES)}")


def check_vocabularies(target: PreTrainedModel, draft: PreTrainedModel, tokenizer=None) -> None:
    """Raise unless the draft can read every token the target may emit.

    Rows beyond the tokenizer's own tokens are padding and may differ in number.
    """
    needed = min(target.config.vocab_size, len(tokenizer)) if tokenizer is not None else target.config.vocab_size
    if draft.config.vocab_size < needed:
        raise DynatreeError(
            f"the draft knows {draft.config.vocab_size} tokens, but the target may emit any of {needed}; "
            "choose a draft with the target's tokenizer"
        )


def hidden_states(
    model: PreTrainedModel,
    ids: torch.Tensor,
    positions: torch.Tensor,
    mask: torch.Tensor | None,
    cache: Cache,
    compressed: Cache | None = None,
) -> torch.Tensor:
    """The last hidden states [batch, n, hidden] at new tokens, whose keys and values ``cache`` then holds.

    Args:
        model: target or draft.
        ids, positions: [batch, n].
        mask: boolean [batch, 1, n, rows], which transformers passes through unchanged; None where causal is right.
        cache: of this package.
        compressed: the cache again if it gives each layer a mask of its own, see :mod:`dynatree.models.attention`.
    """
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "past_key_values": cache}
    with grouped(model):
        return model.base_model(**inputs, use_cache=True, compressed=compressed).last_hidden_state


def head_rows(model: PreTrainedModel) -> int:
    """Tokens that the output head scores."""
    head = model.get_output_embeddings()
    return len(head.token_map) if isinstance(head, TrimmedHead) else model.config.vocab_size
