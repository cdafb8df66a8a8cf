"""``model.generate`` of Hugging Face with this package's decoding: one more argument."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from dynatree.batching import generate_batch
from dynatree.decoding import generate
from dynatree.errors import DynatreeError
from dynatree.models import ModelPair

SAMPLING = {"TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper"}
STOPPING = {"MaxLengthCriteria", "EosTokenCriteria"}


def custom_generate(
    draft: PreTrainedModel | None = None, method: str = "throughput", streamer=None, **options
) -> Callable:
    """What ``model.generate(..., custom_generate=...)`` takes to decode with trees.

    The output is that of ``model.generate`` without it: token for token when greedy in float32, the same distribution
    when sampling, whose draws ``torch.manual_seed`` fixes. Rows of a batch are decoded together.

    Args:
        draft: the draft model; None for methods that work without.
        method: see :func:`dynatree.generate`.
        streamer: takes tokens as they are emitted. ``generate`` keeps the one that it is given to itself.
        **options: of the method; also ``draft_cache`` and, which changes the output, ``target_cache``, see
            :func:`dynatree.generate`.

    Raises:
        DynatreeError: when called, generation asks for what decoding with trees does not do: beams, penalties, other
            logits processors or stopping criteria, or outputs other than token ids.
    """
    pairs: dict[int, ModelPair] = {}

    def stream(tokens: list[int], accepted: int) -> None:
        for token in tokens:
            streamer.put(torch.tensor([token]))

    def decode(
        model, input_ids, logits_processor=(), stopping_criteria=(), generation_config=None, **inputs
    ) -> torch.LongTensor:
        _check(generation_config, logits_processor, stopping_criteria)
        pair = pairs.setdefault(id(model), ModelPair(model, draft))
        how = _sampling(generation_config) if generation_config.do_sample else {}
        mask = inputs.get("attention_mask")
        prompts = [row if mask is None else row[mask[index].bool()] for index, row in enumerate(input_ids)]
        arguments = {
            "max_new_tokens": generation_config.max_length - input_ids.shape[1],
            "eos_token_id": generation_config.eos_token_id,
            **how,
            **options,
        }
        if len(prompts) == 1:
            outs = [generate(pair, prompts[0], method, on_tokens=stream if streamer else None, **arguments)]
        elif streamer:
            raise DynatreeError(f"a streamer follows one prompt, not a batch of {len(prompts)}")
        else:
            outs = generate_batch(pair, prompts, method, **arguments)
        rows = [out.tokens for out in outs]
        if streamer:
            streamer.end()
        return torch.cat((input_ids, _padded(rows, generation_config.pad_token_id, input_ids)), dim=1)

    return decode


def _check(generation_config, processors, criteria) -> None:
    foreign = [type(one).__name__ for one in processors if type(one).__name__ not in SAMPLING]
    foreign += [type(one).__name__ for one in criteria if type(one).__name__ not in STOPPING]
    if foreign:
        raise DynatreeError(f"decoding with trees does not apply {', '.join(foreign)}; leave out what asks for it")
    for name, plain in (("num_beams", 1), ("num_return_sequences", 1), ("return_dict_in_generate", False)):
        value = getattr(generation_config, name)
        if value not in (None, plain):
            raise DynatreeError(f"decoding with trees needs {name}={plain}, not {value!r}")


def _sampling(generation_config) -> dict:
    """The sampling settings and a seed as :func:`dynatree.generate` takes them."""
    temperature, top_k, top_p = (getattr(generation_config, name) for name in ("temperature", "top_k", "top_p"))
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "top_k": top_k or None,
        "top_p": top_p,
        "seed": int(torch.randint(2**62, ())),
    }


def _padded(rows: list[list[int]], pad: int | None, like: torch.Tensor) -> torch.Tensor:
    """New tokens [rows, longest]; shorter rows end in padding."""
    longest = max(map(len, rows))
    return like.new_tensor([row + [0 if pad is None else pad] * (longest - len(row)) for row in rows])
