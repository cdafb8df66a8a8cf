"""``model.generate`` of Hugging Face with this package's decoding: one more argument."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from dynatree.decoding.batch import generate_batch
from dynatree.decoding.engine import generate
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair

SAMPLING = {"TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper"}
STOPPING = {"MaxLengthCriteria", "EosTokenCriteria"}


def custom_generate(
    draft: PreTrainedModel | None = None, method: str = "cost_aware", streamer=None, **options
) -> Callable:
    """What ``model.generate(..., custom_generate=...)`` takes to decode with trees.

    The output is that of ``model.generate`` without it: token for token when greedy in float32, the same distribution
    when sampling, whose draws ``torch.manual_seed`` fixes. Rows of a batch are decoded together.

    Args:
        draft: the draft model; None for methods that work without.
        method: see :func:`dynatree.generate`.
        streamer: takes the prompt and then tokens as they are emitted. ``generate`` keeps the one that it is given to
            itself.
        **options: of the method; also ``draft_cache`` and, which changes the output, ``target_cache``, see
            :func:`dynatree.generate`.

    Raises:
        DynatreeError: when called, generation asks for what decoding with trees does not do: beams, penalties, other
            logits processors or stopping criteria, or outputs other than token ids.
    """
    pairs: dict[PreTrainedModel, ModelPair] = {}

    def stream(tokens: list[int], accepted: int) -> None:
        for token in tokens:
            streamer.put(torch.tensor([token]))

    def decode(
        model, input_ids, logits_processor=(), stopping_criteria=(), generation_config=None, **inputs
    ) -> torch.LongTensor:
        asked = _asked(generation_config, [*logits_processor, *stopping_criteria])
        pair = pairs.setdefault(model, ModelPair(model, draft))
        how = _sampling(asked) if generation_config.do_sample else {}
        stops = asked["EosTokenCriteria"].eos_token_id.flatten().tolist() if "EosTokenCriteria" in asked else None
        mask = inputs.get("attention_mask")
        prompts = [row if mask is None else row[mask[index].bool()] for index, row in enumerate(input_ids)]
        arguments = {
            "max_new_tokens": asked["MaxLengthCriteria"].max_length - input_ids.shape[1],
            "eos_token_id": stops,
            **how,
            **options,
        }
        if streamer and len(prompts) > 1:
            raise DynatreeError(f"a streamer follows one prompt, not a batch of {len(prompts)}")
        if streamer:
            streamer.put(input_ids.cpu())
            outs = [generate(pair, prompts[0], method, on_tokens=stream, **arguments)]
            streamer.end()
        elif len(prompts) == 1:
            outs = [generate(pair, prompts[0], method, **arguments)]
        else:
            outs = generate_batch(pair, prompts, method, **arguments)
        rows = [out.tokens for out in outs]
        return torch.cat((input_ids, _padded(rows, _padding(generation_config.pad_token_id, stops), input_ids)), dim=1)

    return decode


def _asked(generation_config, parts: list) -> dict:
    """What transformers made of the caller's wishes, or the caller in its place, by the names of the classes."""
    asked = {type(one).__name__: one for one in parts}
    foreign = [name for name in asked if name not in SAMPLING | STOPPING]
    if foreign:
        raise DynatreeError(f"decoding with trees does not apply {', '.join(foreign)}; leave out what asks for it")
    if len(asked) < len(parts):
        raise DynatreeError("decoding with trees takes each logits processor and stopping criterion once")
    for name, plain in (("num_beams", 1), ("num_return_sequences", 1), ("return_dict_in_generate", False)):
        value = getattr(generation_config, name)
        if value not in (None, plain):
            raise DynatreeError(f"decoding with trees needs {name}={plain}, not {value!r}")
    return asked


def _sampling(asked: dict) -> dict:
    """The sampling settings and a seed as :func:`dynatree.generate` takes them."""
    temperature, top_k, top_p = (asked.get(f"{name}LogitsWarper") for name in ("Temperature", "TopK", "TopP"))
    return {
        "temperature": temperature.temperature if temperature else 1.0,
        "top_k": top_k.top_k if top_k else None,
        "top_p": top_p.top_p if top_p else None,
        "seed": int(torch.randint(2**62, ())),
    }


def _padding(pad: int | None, stops: list[int] | None) -> int:
    """The token behind rows that ended early: as in transformers, the first end-of-sequence id where none is named."""
    if pad is not None:
        return pad
    return stops[0] if stops else 0


def _padded(rows: list[list[int]], pad: int, like: torch.Tensor) -> torch.Tensor:
    """New tokens [rows, longest]; shorter rows end in padding."""
    longest = max(map(len, rows))
    return like.new_tensor([row + [pad] * (longest - len(row)) for row in rows])
