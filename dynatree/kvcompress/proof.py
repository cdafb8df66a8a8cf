"""A proof by example that trees over a compressed cache give what decoding token by token gives."""

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import make_method
from dynatree.kvcompress.rotary import layer_rotations
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.exclusive import exclusive
from dynatree.models.modes import Mode, set_mode
from dynatree.models.positions import reading_again_length
from dynatree.models.proof import CAPACITY, NEW_TOKENS, Text, first_difference, line_of, quiet, texts_of
from dynatree.models.runner import ModelRunner
from dynatree.models.tiny_config import tiny_config, tiny_model

EVICTING = (("l2_norm", {"budget": 12}), ("snapkv", {"budget": 12, "window": 4, "when": "both"}))
ROTATING = ("streaming_llm", {"sinks": 2, "window": 10})
EVERY = 8


def prove_compression(config: PreTrainedConfig, mode: Mode | None, kind: type[PreTrainedModel] | None = None) -> str:
    """Return why the caches of a kind of model cannot be compressed; "" if they can.

    Args:
        config: of the model; only its kind matters, not its sizes.
        mode: how its forward passes run; None if it is refused.
        kind: class of the model; None for the causal language model of the configuration.
    """
    if mode != "grouped":
        return {None: "no proof of the model itself", "chain": "its cache is the model's own"}.get(
            mode, "its attention is the model's own"
        )
    with quiet():
        model = tiny_model(tiny_config(config), kind)
        set_mode(model, mode)
        return compression_refusal(model, list(texts_of(model)))


def compression_refusal(model: PreTrainedModel, texts: list[Text]) -> str:
    """Return why the caches of a kind of model cannot be compressed; "" if they can.

    Args:
        model: a small model.
        texts: what ``generate`` makes of it.
    """
    if reading_again_length(model) is not None:
        return "its text is read again where rotary frequencies change"
    try:
        texts = texts[len(texts) // 2 :]  # those that evict entries
        full = make_method("full", every=EVERY)
        difference = first_difference(model, texts, True, lambda: CompressedTreeCache(model, full, CAPACITY, 64))
        for name, options in EVICTING if not _rotates(model) else (*EVICTING, ROTATING):
            method = make_method(name, **options, every=EVERY)
            known = [_token_by_token(model, text, method) for text in texts]
            difference = difference or first_difference(
                model, known, True, lambda method=method: CompressedTreeCache(model, method, CAPACITY, 64)
            )
    except Exception as error:  # masks and caches of any class may fail in any way
        return line_of(error)
    return difference or ""


def _rotates(model: PreTrainedModel) -> bool:
    try:
        return bool(layer_rotations(model))
    except DynatreeError:
        return False


@torch.inference_mode()
def _token_by_token(model: PreTrainedModel, text: Text, method: Method) -> Text:
    """Return the text that a compressed cache gives."""
    with exclusive([model]):
        runner = ModelRunner(model, "target", CAPACITY, cache=CompressedTreeCache(model, method, CAPACITY, 64))
        logits = [runner.forward(text.prompt, range(len(text.prompt)), last_only=True)[0]]
        runner.cache.keep(len(text.prompt), [])
        tokens = [int(logits[-1].argmax())]
        while len(tokens) < NEW_TOKENS:
            logits.append(runner.forward(tokens[-1:], [runner.length])[0])
            runner.cache.keep(runner.length, [])
            tokens.append(int(logits[-1].argmax()))
    return Text(text.prompt, tokens, torch.stack(logits))
