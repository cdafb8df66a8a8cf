"""A target and its draft, and the checks that they fit."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.admission import admit
from dynatree.models.cuda_settings import apply_settings
from dynatree.models.exclusive import exclusive
from dynatree.models.modes import mode_of
from dynatree.models.state_embedding import reads_states
from dynatree.models.supported import plain_model, vocabulary_size
from dynatree.models.transfer import input_device
from dynatree.models.trimmed_head import output_head

if TYPE_CHECKING:
    from dynatree.drafting.memory import Memory
    from dynatree.latency.cost_model import CostModel
    from dynatree.models.graphs import GraphedModel
    from dynatree.models.ngram_table import NGramTable
    from dynatree.policies.base import Policy

MIN_SHARED = 0.8  # share of the target's tokens that a draft of the same tokenizer has; padding may hide the rest

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
    """Statistics of a pair that later requests use again; tokens in ``memory`` alone.

    Attributes:
        cost_models: cost model of each model, once it was measured.
        policies: persistent policies.
        memory: of past outputs; None unless a request asks for it.
    """

    cost_models: dict[Role, "CostModel"] = field(default_factory=dict)
    policies: dict[PolicyKey, "Policy"] = field(default_factory=dict)
    memory: "Memory | None" = None


@dataclass
class ModelPair:
    """A target model and the draft that proposes tokens for it.

    Args:
        target: Hugging Face causal language model, or a ``PeftModel`` around one.
        draft: a smaller model with the same tokens, possibly on another device or in another dtype; None if only
            methods without a draft model are used.
        tokenizer: converts prompts to token ids and back; without one, prompts must be token ids.
        ngram_table: likely successors of the target's tokens; None if only methods without it are used.

    Attributes:
        state: statistics of earlier requests.
        clock: returns the current time in seconds.
        static: recorded forward passes, by role; see :func:`dynatree.use_graphs`.

    Raises:
        DynatreeError: decoding with a model is not exact, or the vocabularies do not fit.
    """

    target: PreTrainedModel
    draft: PreTrainedModel | None = None
    tokenizer: Any = None
    ngram_table: "NGramTable | None" = None
    state: PairState = field(default_factory=PairState, init=False, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.perf_counter, init=False, repr=False, compare=False)
    static: dict[Role, "GraphedModel"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.target = plain_model(self.target, "target")
        output_head(self.target)  # raises if it has none
        admit(self.target, "target")
        if self.draft is not None:
            self.draft = plain_model(self.draft, "draft")
            admit(self.draft, "draft")
            tokens = len(self.tokenizer) if hasattr(self.tokenizer, "__len__") else None
            check_vocabularies(vocabulary_size(self.target), vocabulary_size(self.draft), tokens)
            check_states(self.target, self.draft)
        if self.ngram_table is not None and self.ngram_table.max_token >= vocabulary_size(self.target):
            raise DynatreeError(
                f"the n-gram table has token {self.ngram_table.max_token}, but the target has "
                f"{vocabulary_size(self.target)} tokens; use the table that was counted for it"
            )
        for model in self.models.values():
            apply_settings(model.device)

    @property
    def models(self) -> dict[Role, PreTrainedModel]:
        """The models by role, without a draft if there is none."""
        models: dict[Role, PreTrainedModel] = {"target": self.target}
        if self.draft is not None:
            models["draft"] = self.draft
        return models

    def prepare(self) -> None:
        """Record the forward passes that requests repeat, so that no request does it."""
        with exclusive(self.models.values()):
            for model in self.static.values():
                model.prepare()

    def without_draft(self) -> "ModelPair":
        """Return the pair without its draft, with the same statistics."""
        pair = copy.copy(self)
        pair.draft = None
        return pair

    @property
    def eos_token_id(self) -> int | list[int] | None:
        """The end-of-sequence ids in the generation config of the target."""
        return self.target.generation_config.eos_token_id

    @property
    def device(self) -> torch.device:
        """Device of the target."""
        return input_device(self.target)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the target."""
        return self.target.dtype


def check_states(target: PreTrainedModel, draft: PreTrainedModel) -> None:
    """Raise if a draft reads hidden states that the target does not have.

    Raises:
        DynatreeError: the target reads tokens in order, so it keeps no state for each, or its states differ in width.
    """
    if not reads_states(draft):
        return
    width, needed = target.config.get_text_config().hidden_size, draft.config.hidden_size
    if mode_of(target) == "chain" or width != needed:
        raise DynatreeError(
            f"the draft reads hidden states [{needed}] of the target it was made for, but this {type(target).__name__} "
            f"has {'none that it keeps' if width == needed else f'states of width {width}'}; choose another draft"
        )


def check_vocabularies(target_rows: int, draft_rows: int, tokens: int | None = None) -> None:
    """Raise if the draft lacks so many of the target's tokens that it must have another tokenizer.

    Rows of an embedding beyond the tokens of the tokenizer are padding, and their number may differ. A draft never
    proposes a token that it lacks, so the output is exact in any case.

    Args:
        target_rows: size of the target's vocabulary, padding included.
        draft_rows: size of the draft's vocabulary, padding included.
        tokens: tokens of the tokenizer, added ones included; None if it is unknown.

    Raises:
        DynatreeError: the draft has less than ``MIN_SHARED`` of the tokens.
    """
    needed = target_rows if tokens is None else min(target_rows, tokens)
    if draft_rows < MIN_SHARED * needed:
        raise DynatreeError(
            f"the draft has {draft_rows} tokens, but the target may emit any of {needed}; "
            "choose a draft with the target's tokenizer"
        )
