"""A target and its draft, and the checks that they fit."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError

if TYPE_CHECKING:
    from dynatree.latency.cost_model import CostModel
    from dynatree.models.compiled import StaticModel
    from dynatree.policies.base import Policy

ARCHITECTURES = ("gpt_neox", "llama")

Role = Literal["target", "draft"]


class PolicyKey(NamedTuple):
    """The requests that share a persistent policy.

    Attributes:
        policy: class and options of the policy, as ``repr`` gives them.
        draft_cache: class and options of the method that compresses the draft's cache; "" without one.
    """

    policy: str
    draft_cache: str


@dataclass
class PairState:
    """Statistics of a pair that later requests use again; never tokens.

    Attributes:
        cost_models: cost model of each model, once it was measured.
        policies: persistent policies.
    """

    cost_models: dict[Role, "CostModel"] = field(default_factory=dict)
    policies: dict[PolicyKey, "Policy"] = field(default_factory=dict)


@dataclass
class ModelPair:
    """A target model and the draft that proposes tokens for it.

    Args:
        target: Hugging Face causal language model, GPT-NeoX or Llama architecture.
        draft: a smaller model with the same tokens, possibly on another device or in another dtype; None if only
            methods without a draft model are used.
        tokenizer: converts prompts to token ids and back; without one, prompts must be token ids.

    Attributes:
        state: statistics of earlier requests.
        clock: returns the current time in seconds.
        static: forward passes of static shapes, by role; see :func:`dynatree.compile_pair`.

    Raises:
        DynatreeError: an architecture is not supported or the vocabularies do not fit.
    """

    target: PreTrainedModel
    draft: PreTrainedModel | None = None
    tokenizer: Any = None
    state: PairState = field(default_factory=PairState, init=False, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.perf_counter, init=False, repr=False, compare=False)
    static: dict[Role, "StaticModel"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_architecture(self.target, "target")
        self.target.eval()
        if self.draft is not None:
            check_architecture(self.draft, "draft")
            check_vocabularies(self.target, self.draft, self.tokenizer)
            self.draft.eval()

    @property
    def models(self) -> dict[Role, PreTrainedModel]:
        """The models by role, without a draft if there is none."""
        models: dict[Role, PreTrainedModel] = {"target": self.target}
        if self.draft is not None:
            models["draft"] = self.draft
        return models

    @property
    def eos_token_id(self) -> int | list[int] | None:
        """The end-of-sequence ids in the generation config of the target."""
        return self.target.generation_config.eos_token_id

    @property
    def device(self) -> torch.device:
        """Device of the target."""
        return self.target.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the target."""
        return self.target.dtype


def check_architecture(model: PreTrainedModel, role: str) -> None:
    """Raise unless the forward pass over a tree is exact for the model's architecture."""
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise DynatreeError(f"the {role} is a {kind!r} model; supported are {', '.join(ARCHITECTURES)}")


def check_vocabularies(target: PreTrainedModel, draft: PreTrainedModel, tokenizer: Any = None) -> None:
    """Raise unless the draft has an embedding for every token that the target may emit.

    Embeddings beyond the tokenizer's tokens are padding, and their number may differ.
    """
    needed = min(target.config.vocab_size, len(tokenizer)) if tokenizer is not None else target.config.vocab_size
    if draft.config.vocab_size < needed:
        raise DynatreeError(
            f"the draft has {draft.config.vocab_size} tokens, but the target may emit any of {needed}; "
            "choose a draft with the target's tokenizer"
        )
