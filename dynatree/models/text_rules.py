"""Logits processors and stopping criteria of transformers, which change what follows a text or end it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import LogitsProcessorList, PreTrainedModel, StoppingCriteriaList

from dynatree.errors import DynatreeError
from dynatree.models.generation_config import ENDLESS, asks_for_rules
from dynatree.models.sampling import SamplingOptions
from dynatree.models.transfer import input_device

WARPERS = {  # they use the scores of one token alone
    f"{name}LogitsWarper" for name in ("Temperature", "TopK", "TopP", "MinP", "TopH", "Typical", "Epsilon", "Eta")
}
# They treat each row of a batch alone.
ROW_PROCESSORS = WARPERS | {
    *(f"{name}LengthLogitsProcessor" for name in ("Min", "MinNewTokens")),
    *(f"{name}LogitsProcessor" for name in ("RepetitionPenalty", "EncoderRepetitionPenalty", "NoRepeatNGram")),
    *(f"{name}LogitsProcessor" for name in ("EncoderNoRepeatNGram", "SequenceBias", "NoBadWords", "PrefixConstrained")),
    *(f"{name}LogitsProcessor" for name in ("ForcedBOSToken", "ForcedEOSToken", "InfNanRemove", "SuppressTokens")),
    *(f"{name}LogitsProcessor" for name in ("SuppressTokensAtBegin", "Watermark", "SynthIDTextWatermark")),
    *("ExponentialDecayLengthPenalty", "LogitNormalization"),
}
ROW_CRITERIA = {f"{name}Criteria" for name in ("MaxLength", "EosToken", "MaxTime", "StopString")}
SEVERAL_PASSES = {  # they run the model themselves, or need several rows for one text
    f"{name}LogitsProcessor" for name in ("UnbatchedClassifierFreeGuidance", "ClassifierFreeGuidance")
} | {"DiaClassifierFreeGuidanceLogitsProcessor", "AlternatingCodebooksLogitsProcessor"}


@dataclass(frozen=True)
class CallerRules:
    """What the caller of :func:`dynatree.generate` gives, beside the generation config of the target.

    Attributes:
        processors: logits processors.
        criteria: stopping criteria.
        stop_strings: texts that end the output.
    """

    processors: Sequence[Any] = ()
    criteria: Sequence[Any] = ()
    stop_strings: str | Sequence[str] = ()


@dataclass(frozen=True)
class TextRules:
    """The logits processors and stopping criteria of one text.

    Attributes:
        processors: called in this order for each emitted token, after the text before it.
        criteria: called after each emitted token.
        text: ids [n] of the prompt as the functions see it, padding included.
        kept: "scores" and "logits" if those of each emitted token are kept.
    """

    processors: LogitsProcessorList
    criteria: StoppingCriteriaList
    text: torch.Tensor
    kept: frozenset[str] = field(default=frozenset())


NO_RULES = CallerRules()


def prepare_rules(
    model: PreTrainedModel,
    tokenizer: Any,
    prompt: list[int],
    max_new_tokens: int,
    stop_tokens: frozenset[int],
    sampling: SamplingOptions,
    given: CallerRules = NO_RULES,
) -> TextRules | None:
    """Return the functions that ``model.generate`` builds from its generation config and from those of a caller.

    Args:
        model: the target.
        tokenizer: tokenizer of the target, for stop strings; None without one.
        prompt: token ids.
        max_new_tokens: tokens to emit.
        stop_tokens: end-of-sequence ids.
        sampling: how tokens are drawn.
        given: functions of the caller.

    Returns:
        The functions; None if there are only those that a request applies itself: the temperature, the largest
        probabilities, the length and end-of-sequence ids.

    Raises:
        DynatreeError: a function cannot be applied to a tree, or stop strings lack a tokenizer.
    """
    own = model.generation_config
    stops = sorted(token for token in stop_tokens if token >= 0)
    sampled = sampling.temperature > 0
    given_any = any(map(len, (given.processors, given.criteria, given.stop_strings)))
    if not given_any and not asks_for_rules(own, sampled, endless=not stops):
        return None
    check_processors(given.processors)
    settings = copy.deepcopy(own)
    settings.do_sample = sampled
    settings.temperature, settings.top_k, settings.top_p = sampling.temperature, sampling.top_k, sampling.top_p
    settings.eos_token_id, settings.pad_token_id = stops or None, 0
    settings.max_length = len(prompt) + max_new_tokens
    settings.stop_strings = given.stop_strings or own.stop_strings
    for name in ENDLESS if not stops else ():
        setattr(settings, name, None)
    if settings.min_new_tokens is not None:  # it takes precedence in transformers
        settings.min_length = len(prompt) + settings.min_new_tokens
    if settings.stop_strings and tokenizer is None:
        raise DynatreeError("stop strings need a tokenizer; give the pair one")
    ids = torch.tensor([prompt], device=input_device(model))
    builder: Any = model  # PreTrainedModel itself does not declare these methods
    builder._prepare_special_tokens(settings, True, ids.device, 1)
    processors = builder._get_logits_processor(
        settings, len(prompt), ids, None, LogitsProcessorList(given.processors), ids.device, {}
    )
    criteria = builder._get_stopping_criteria(settings, StoppingCriteriaList(given.criteria), tokenizer)
    built_in = (transformers.MaxLengthCriteria, transformers.EosTokenCriteria)
    kept = [one for one in criteria if one in given.criteria or type(one) not in built_in]
    return TextRules(processors, StoppingCriteriaList(kept), ids[0])


def check_processors(processors: Sequence[Any]) -> None:
    """Raise if a logits processor needs several forward passes for one token, as classifier-free guidance does."""
    for one in processors:
        if type(one).__name__ in SEVERAL_PASSES:
            raise DynatreeError(
                f"decoding with trees does not apply the logits processor {type(one).__name__}, which needs forward "
                "passes of its own; leave it out"
            )


def is_of_transformers(function: Any, names: set[str]) -> bool:
    """Return True if a function is of a class of transformers with one of these names, not of a subclass."""
    name = type(function).__name__
    return name in names and type(function) is getattr(transformers, name, None)


def row_rules(rules: TextRules, row: int, rows: int) -> TextRules:
    """Return the functions of a batch for one of its rows.

    Args:
        rules: functions of the batch; ``text`` is that of the row.
        row: index of the row.
        rows: number of rows.

    Raises:
        DynatreeError: there are several rows, and a function may mix them.
    """
    if rows == 1:
        return rules
    mixed = [one for one in rules.processors if not is_of_transformers(one, ROW_PROCESSORS)]
    mixed += [one for one in rules.criteria if not is_of_transformers(one, ROW_CRITERIA)]
    if mixed:
        raise DynatreeError(
            f"a {type(mixed[0]).__name__} may mix the {rows} rows of a batch; decode the prompts one by one"
        )
    processors = LogitsProcessorList(_of_row(one, row, rows) for one in rules.processors)
    return TextRules(processors, rules.criteria, rules.text, rules.kept)


def _of_row(processor: Any, row: int, rows: int) -> Any:
    """Return a logits processor of a batch as one for a single row."""
    one, own = copy.copy(processor), vars(processor)
    if isinstance(own.get("prompt_ignore_length"), torch.Tensor):
        one.prompt_ignore_length = own["prompt_ignore_length"][row : row + 1]
    if "encoder_input_ids" in own:
        source = row * len(own["encoder_input_ids"]) // rows  # several outputs of a prompt share its ids
        one.encoder_input_ids = own["encoder_input_ids"][source : source + 1]
    if "generated_ngrams" in own:
        one.generated_ngrams, one.batch_size = [own["generated_ngrams"][row * own["batch_size"] // rows]], 1
    if "_prefix_allowed_tokens_fn" in own:
        allowed: Callable[[int, torch.Tensor], list[int]] = own["_prefix_allowed_tokens_fn"]
        one._prefix_allowed_tokens_fn = lambda _, ids: allowed(row, ids)
    return one


def forced_token(processors: Sequence[Any], ids: torch.Tensor) -> int | None:
    """Return the token that follows a text whatever its logits are, as far as processors name one; else None.

    Only functions of the text alone are asked, because others may count their calls. A processor of the caller is
    asked if it has a method ``forced_token(ids)``.

    Args:
        processors: logits processors.
        ids: [1, n] the text.
    """
    for one in processors:
        token = _forced_by(one, ids)
        if token is not None:
            return token
    return None


def _forced_by(processor: Any, ids: torch.Tensor) -> int | None:
    if hasattr(processor, "forced_token"):
        return processor.forced_token(ids)
    if is_of_transformers(processor, {"ForcedBOSTokenLogitsProcessor"}):
        return processor.bos_token_id if ids.shape[1] == 1 else None
    if is_of_transformers(processor, {"ForcedEOSTokenLogitsProcessor"}):
        alone = ids.shape[1] == processor.max_length - 1 and processor.eos_token_id.numel() == 1
        return int(processor.eos_token_id) if alone else None
    if is_of_transformers(processor, {"PrefixConstrainedLogitsProcessor"}):
        allowed = list(processor._prefix_allowed_tokens_fn(0, ids[0]))
        return int(allowed[0]) if len(allowed) == 1 else None
    return None
