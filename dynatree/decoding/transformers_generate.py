"""Tree decoding behind ``model.generate`` of Hugging Face, through its ``custom_generate`` argument."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationMixin,
    LogitsProcessorList,
    MaxLengthCriteria,
    PreTrainedModel,
    StoppingCriteriaList,
)
from transformers.generation.utils import GenerateDecoderOnlyOutput

from dynatree.decoding.arguments import (
    CacheMethods,
    Callbacks,
    Exactness,
    PreparedRules,
    RequestOptions,
    find_policy,
    request_options,
)
from dynatree.decoding.batch import decode_batch
from dynatree.decoding.engine import decode
from dynatree.decoding.past import Past, is_readable, reads_on
from dynatree.decoding.prompts import visible_rows
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.models.modes import mode_of
from dynatree.models.ngram_table import NGramTable
from dynatree.models.pair import ModelPair, PairState
from dynatree.models.sampling import SamplingOptions
from dynatree.models.text_rules import WARPERS, TextRules, check_processors, is_of_transformers, row_rules
from dynatree.models.transfer import token_list

# Arguments of a forward pass that have their effect, or none on the tokens.
INPUTS = {"attention_mask", "position_ids", "past_key_values", "use_cache", "logits_to_keep", "cache_position"}
_GENERATE = inspect.unwrap(GenerationMixin.__dict__["generate"]).__code__


class Streamer(Protocol):
    """A streamer of Hugging Face."""

    def put(self, value: torch.Tensor) -> None:
        """Append the prompt or new tokens."""
        ...

    def end(self) -> None:
        """End the text."""
        ...


def custom_generate(
    draft: PreTrainedModel | None = None,
    method: str = "cost_aware",
    streamer: Streamer | None = None,
    tokenizer: Any = None,
    exact: Exactness | None = None,
    ngram_table: NGramTable | None = None,
    **options: Any,
) -> Callable[..., torch.Tensor | GenerateDecoderOnlyOutput]:
    """Return a function for ``model.generate(..., custom_generate=...)`` that decodes with trees.

    The output is that of ``model.generate`` without it: the same tokens when greedy in float32 or with ``exact``, the
    same distribution when sampling. ``torch.manual_seed`` fixes the draws. The prompts of a batch are decoded together.
    A ``streamer`` of ``generate`` receives the tokens as they are emitted. Logits processors and stopping criteria,
    those of the settings and those of the caller, are called once per emitted token after the text before it.

    Args:
        draft: the draft model; None for methods without one.
        method: see :func:`dynatree.generate`.
        streamer: receives the prompt and then tokens, instead of the streamer of ``generate``.
        tokenizer: tokenizer of both models, which counts their tokens without padding; None if it is unknown.
        exact: "strict" for the tokens of ``model.generate`` for each prompt alone in any number format, see
            :func:`dynatree.generate`.
        ngram_table: of the target, such as ``pair.ngram_table``; None for methods without one.
        **options: options of the method; also ``draft_cache`` and ``target_cache``, which changes the output, see
            :func:`dynatree.generate`.

    Returns:
        A function that raises ``DynatreeError`` if it is asked for something that it does not apply: beams, guidance,
        attentions and hidden states, embeddings, position ids of another text, an assistant model, an unknown argument,
        or a cache other than a ``DynamicCache`` of one prompt. In a batch, functions of the caller and scores are
        refused, too.
    """
    states: WeakKeyDictionary[PreTrainedModel, PairState] = WeakKeyDictionary()
    caches = CacheMethods.parse(options.pop("target_cache", None), options.pop("draft_cache", None))

    def decode_all(
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        logits_processor: Sequence[Any] = (),
        stopping_criteria: Sequence[Any] = (),
        generation_config: Any = None,
        **inputs: Any,
    ) -> torch.Tensor | GenerateDecoderOnlyOutput:
        outer = _arguments_of_generate()
        _check_inputs(inputs, outer)
        prompts = _prompts(input_ids, inputs)
        stops, max_length = _stopping(stopping_criteria)
        rules = _rules(input_ids, logits_processor, stopping_criteria, generation_config)
        pair = ModelPair(model, draft, tokenizer, ngram_table)
        pair.state = states.setdefault(model, pair.state)
        cache, given = inputs.get("past_key_values"), outer.get("kwargs", {}).get("past_key_values") is not None
        past = _past(pair.target, input_ids[0], prompts, cache, given, generation_config)
        if given and (caches.target or exact):
            raise DynatreeError("past_key_values holds entries of ordinary decoding; leave out target_cache and exact")
        sampling = _sampling(logits_processor, generation_config.do_sample)

        def request(prompt: list[int], row: int) -> RequestOptions:
            return request_options(
                pair,
                prompt,
                find_policy(pair, method, options, caches.draft),
                max(1, max_length - input_ids.shape[1]),  # transformers emits a token before it looks at the length
                stops,
                sampling(row),
                caches,
                exact=exact,
                prepared=PreparedRules(generation_config, rules[row]),
                past=past,
            )

        requests = [request(prompt, row) for row, prompt in enumerate(prompts)]
        listener = _only_streamer(streamer, outer.get("streamer"))
        if len(requests) == 1:
            if listener and listener is streamer:  # generate passes the prompt to its own
                listener.put(input_ids.cpu())
            outs = [decode(pair, requests[0], _streaming(listener))]
        elif listener:
            raise DynatreeError(f"a streamer follows one prompt, not a batch of {len(prompts)}")
        elif caches.target:
            raise DynatreeError("target_cache serves one prompt at a time; leave it out or decode them one by one")
        else:
            outs = decode_batch(pair, requests)
        if listener:
            listener.end()
        padding = _padding_id(generation_config.pad_token_id, stops)
        emitted = _padded([out.tokens for out in outs], padding, input_ids)
        returned = past and past.caches["target"]
        return _output(torch.cat((input_ids, emitted), dim=1), outs[0], generation_config, returned)

    return decode_all


def _arguments_of_generate() -> Mapping[str, Any]:
    """Return the arguments of the ``model.generate`` that calls this module; empty without one.

    ``generate`` does not pass on its streamer, its assistant and a cache that is still empty. Its frame is the only
    place where they are visible, so that they are not dropped.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not _GENERATE:
        frame = frame.f_back
    return dict(frame.f_locals) if frame else {}


def _check_inputs(inputs: Mapping[str, Any], outer: Mapping[str, Any]) -> None:
    """Raise if an argument of ``generate`` would be dropped."""
    unused = [name for name, value in inputs.items() if name not in INPUTS and value is not None and value is not False]
    unused += [name for name in ("assistant_model", "synced_gpus") if outer.get(name)]
    if unused:
        raise DynatreeError(
            f"decoding with trees does not apply the argument {', '.join(unused)} of generate; leave it out"
            + ("; custom_generate takes the draft" if "assistant_model" in unused else "")
        )


def _past(
    model: PreTrainedModel, row: torch.Tensor, prompts: list[list[int]], cache: Any, given: bool, settings: Any
) -> Past | None:
    """Return the entries of the cache that ``generate`` was given or is to return; None without one.

    Args:
        model: the target.
        row: token ids [n] of the first prompt, padding included.
        prompts: all prompts without padding.
        cache: the cache that ``generate`` passes on; None without one.
        given: True if the caller has passed it.
        settings: generation config.

    Raises:
        DynatreeError: a given cache cannot be read, or its entries are not those of the prompt.
    """
    if cache is not None and type(cache) is not DynamicCache:
        raise DynatreeError(
            f"decoding with trees does not read the given {type(cache).__name__}; leave out cache_implementation, or "
            "let past_key_values be a DynamicCache"
        )
    padded = len(prompts) > 1 or len(prompts[0]) < len(row)
    if cache is None or not (given or (settings.return_dict_in_generate and not padded)):
        return None
    held = cache.get_seq_length()
    obstacles = {
        "it serves one prompt without padding": padded,
        "it needs the complete text as input_ids": getattr(settings, "_mask_length", len(row)) != len(row),
        f"it holds {held} entries, and the prompt must be longer than its {len(row)} tokens": held >= len(row),
        "the entries of this model depend on later tokens": held and not reads_on(model),
        "its layers hold other states than keys and values": given and not is_readable(cache),
        "the model reads tokens in order": given and mode_of(model) == "chain",
    }
    for obstacle in [words for words, found in obstacles.items() if found]:
        raise DynatreeError(f"decoding with trees cannot go on from past_key_values: {obstacle}; leave it out")
    return Past(prompts[0][:held], {"target": cache})


def _prompts(input_ids: torch.Tensor, inputs: Mapping[str, Any]) -> list[list[int]]:
    """Return the prompts without padding, whose position ids must count from 0."""
    rows, mask = [token_list(row) for row in input_ids], inputs.get("attention_mask")
    shown: torch.Tensor = torch.ones_like(input_ids) if mask is None else mask
    if shown.ndim != 2:
        raise DynatreeError(f"attention_mask must have the shape of input_ids, not {list(shown.shape)}")
    prompts = visible_rows(rows, [token_list(row) for row in shown.long()])
    positions = inputs.get("position_ids")
    if positions is not None:
        expected, visible = shown.long().cumsum(-1) - 1, shown.bool()
        shape = positions.shape[-1:] == expected.shape[-1:] and positions.shape[0] in (1, len(rows))
        given = positions.expand_as(expected) if shape and positions.ndim == 2 else None
        if given is None or not torch.equal(given.to(expected)[visible], expected[visible]):
            raise DynatreeError(
                "decoding with trees counts positions from 0 in the complete text; pass it as input_ids, and leave out "
                "position_ids"
            )
    return prompts


def _only_streamer(own: Streamer | None, outer: Streamer | None) -> Streamer | None:
    if own and outer:
        raise DynatreeError("give a streamer to generate() or to custom_generate(), not to both")
    return own or outer


def _streaming(streamer: Streamer | None) -> Callbacks:
    def stream(tokens: list[int], accepted: int) -> None:
        for token in tokens:
            assert streamer is not None
            streamer.put(torch.tensor([token]))

    return Callbacks(stream if streamer else None)


def _stopping(criteria: Sequence[Any]) -> tuple[list[int] | None, int]:
    """Return the end-of-sequence ids and the smallest maximum length of stopping criteria."""
    ends = [one.eos_token_id for one in criteria if type(one) is EosTokenCriteria]
    stops = [token for ids in ends for token in token_list(ids)]
    return stops if ends else None, min(one.max_length for one in criteria if type(one) is MaxLengthCriteria)


def _rules(
    input_ids: torch.Tensor, processors: Sequence[Any], criteria: Sequence[Any], settings: Any
) -> list[TextRules | None]:
    """Return the functions of each row, None where the sampler and the request apply all of them.

    Raises:
        DynatreeError: a function cannot be applied, or not to a batch.
    """
    check_processors(processors)
    others = [one for one in criteria if type(one) not in (MaxLengthCriteria, EosTokenCriteria)]
    asked: dict[str, bool | None] = {"scores": settings.output_scores, "logits": settings.output_logits}
    kept = frozenset(name for name, wanted in asked.items() if wanted and settings.return_dict_in_generate)
    rows = len(input_ids)
    if not others and not kept and all(is_of_transformers(one, WARPERS) for one in processors):
        return [None] * rows
    if rows > 1 and kept:
        raise DynatreeError(f"output_{min(kept)} serves one prompt at a time; leave it out or decode them one by one")
    if rows > 1 and others and not any(hasattr(one, "eos_token_id") for one in criteria):
        raise DynatreeError(
            "in a batch without an end-of-sequence token, transformers goes on after a stopping criterion has ended a "
            "row; set eos_token_id or decode the prompts one by one"
        )
    functions = LogitsProcessorList(processors), StoppingCriteriaList(others)
    return [row_rules(TextRules(*functions, text, kept), row, rows) for row, text in enumerate(input_ids)]


def _sampling(processors: Sequence[Any], do_sample: bool) -> Callable[[int], SamplingOptions]:
    """Return the sampling options of each row: the warpers in their order, a seed for each row."""
    if not do_sample:
        return lambda row: SamplingOptions()  # warpers keep the most likely token
    seed = int(torch.randint(2**62, ()))
    warpers = tuple(one for one in processors if is_of_transformers(one, WARPERS))
    return lambda row: SamplingOptions(1.0, seed=seed + row, warpers=warpers)


def _output(
    sequences: torch.Tensor, out: Generation, settings: Any, cache: DynamicCache | None
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Return the token ids, or what ``return_dict_in_generate`` asks for."""
    if not settings.return_dict_in_generate:
        return sequences
    scores = tuple(out.kept.scores) if out.kept and settings.output_scores else None
    logits = tuple(out.kept.logits) if out.kept and settings.output_logits else None
    filled = cache if cache is not None and cache.get_seq_length() else None
    return GenerateDecoderOnlyOutput(sequences, scores, logits, past_key_values=filled)  # type: ignore[arg-type]


def _padding_id(pad: int | None, stops: list[int] | None) -> int:
    """Return the padding token: as in transformers, by default the first end-of-sequence id."""
    if pad is not None:
        return pad
    return stops[0] if stops else 0


def _padded(outputs: list[list[int]], padding: int, like: torch.Tensor) -> torch.Tensor:
    """Return the new tokens [outputs, longest]; shorter outputs end in padding."""
    longest = max(map(len, outputs))
    return like.new_tensor([tokens + [padding] * (longest - len(tokens)) for tokens in outputs])
