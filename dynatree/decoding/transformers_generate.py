"""Tree decoding behind ``model.generate`` of Hugging Face, through its ``custom_generate`` argument."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers import GenerationMixin, PreTrainedModel

from dynatree.decoding.batch import generate_batch
from dynatree.decoding.engine import generate
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.models.sampling import SamplingOptions

SAMPLING = {"TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper"}
STOPPING = {"MaxLengthCriteria", "EosTokenCriteria"}
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
    **options: Any,
) -> Callable[..., torch.Tensor]:
    """Return a function for ``model.generate(..., custom_generate=...)`` that decodes with trees.

    The output is that of ``model.generate`` without it: the same tokens when greedy in float32, the same distribution
    when sampling. ``torch.manual_seed`` fixes the draws. The prompts of a batch are decoded together.

    Args:
        draft: the draft model; None for methods without one.
        method: see :func:`dynatree.generate`.
        streamer: receives the prompt and then tokens as they are emitted. A streamer that ``generate`` is given
            receives the same.
        **options: options of the method; also ``draft_cache`` and ``target_cache``, which changes the output, see
            :func:`dynatree.generate`.

    Returns:
        A function that raises ``DynatreeError`` if it is asked for beams, penalties, other logits processors or
        stopping criteria, or outputs other than token ids.
    """
    pairs: dict[PreTrainedModel, ModelPair] = {}

    def decode(
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        logits_processor: Sequence[Any] = (),
        stopping_criteria: Sequence[Any] = (),
        generation_config: Any = None,
        **inputs: Any,
    ) -> torch.Tensor:
        parts = _parts([*logits_processor, *stopping_criteria])
        _check_config(generation_config)
        pair = pairs.setdefault(model, ModelPair(model, draft))
        sampling = _sampling(parts) if generation_config.do_sample else SamplingOptions()
        stops = parts["EosTokenCriteria"].eos_token_id.flatten().tolist() if "EosTokenCriteria" in parts else None
        mask = inputs.get("attention_mask")
        prompts = [row if mask is None else row[mask[index].bool()] for index, row in enumerate(input_ids)]
        arguments: dict[str, Any] = {
            "max_new_tokens": parts["MaxLengthCriteria"].max_length - input_ids.shape[1],
            "eos_token_id": stops,
            **vars(sampling),
            **options,
        }
        given = _streamer_of_generate()
        if streamer and given:
            raise DynatreeError("give a streamer to generate() or to custom_generate(), not to both")
        follower = streamer or given
        if len(prompts) == 1:
            if streamer:
                streamer.put(input_ids.cpu())  # `generate` has sent it to its own streamer
            emitted = [_generate_one(pair, prompts[0], method, follower, arguments)]
        elif follower:
            raise DynatreeError(f"a streamer follows one prompt, not a batch of {len(prompts)}")
        else:
            emitted = [out.tokens for out in generate_batch(pair, prompts, method, **arguments)]
        padding = _padding_id(generation_config.pad_token_id, stops)
        return torch.cat((input_ids, _padded(emitted, padding, input_ids)), dim=1)

    return decode


def _generate_one(
    pair: ModelPair,
    prompt: torch.Tensor,
    method: str,
    streamer: Streamer | None,
    arguments: dict[str, Any],
) -> list[int]:
    if streamer is None:
        return generate(pair, prompt, method, **arguments).tokens

    def stream(tokens: list[int], accepted: int) -> None:
        for token in tokens:
            streamer.put(torch.tensor([token]))

    out = generate(pair, prompt, method, on_tokens=stream, **arguments)
    streamer.end()
    return out.tokens


def _streamer_of_generate() -> Streamer | None:
    """Return the streamer of the calling ``generate``, which sends it the prompt but does not pass it on.

    A reader of that streamer would wait for its end for ever.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not _GENERATE:
        frame = frame.f_back
    return frame.f_locals.get("streamer") if frame else None


def _parts(parts: list[Any]) -> dict[str, Any]:
    """Return the logits processors and stopping criteria, by the names of their classes."""
    by_name = {type(one).__name__: one for one in parts}
    foreign = [name for name in by_name if name not in SAMPLING | STOPPING]
    if foreign:
        raise DynatreeError(
            f"decoding with trees does not apply {', '.join(foreign)}; leave out the argument that requests it"
        )
    if len(by_name) < len(parts):
        raise DynatreeError("decoding with trees takes each logits processor and stopping criterion once")
    return by_name


def _check_config(generation_config: Any) -> None:
    for name, plain in (("num_beams", 1), ("num_return_sequences", 1), ("return_dict_in_generate", False)):
        value = getattr(generation_config, name)
        if value not in (None, plain):
            raise DynatreeError(f"decoding with trees needs {name}={plain}, not {value!r}")


def _sampling(parts: dict[str, Any]) -> SamplingOptions:
    temperature, top_k, top_p = (parts.get(f"{name}LogitsWarper") for name in ("Temperature", "TopK", "TopP"))
    return SamplingOptions(
        temperature.temperature if temperature else 1.0,
        top_k.top_k if top_k else None,
        top_p.top_p if top_p else None,
        int(torch.randint(2**62, ())),
    )


def _padding_id(pad: int | None, stops: list[int] | None) -> int:
    """Return the padding token: as in transformers, by default the first end-of-sequence id."""
    if pad is not None:
        return pad
    return stops[0] if stops else 0


def _padded(outputs: list[list[int]], padding: int, like: torch.Tensor) -> torch.Tensor:
    """Return the new tokens [outputs, longest]; shorter outputs end in padding."""
    longest = max(map(len, outputs))
    return like.new_tensor([tokens + [padding] * (longest - len(tokens)) for tokens in outputs])
