"""A target and its draft, and the checks that they fit."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError

if TYPE_CHECKING:
    from dynatree.models.compiled import StaticModel

ARCHITECTURES = ("gpt_neox", "llama")


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
