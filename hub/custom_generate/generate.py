"""Lossless tree speculative decoding behind ``model.generate(..., custom_generate=...)``."""

from weakref import WeakKeyDictionary

from transformers import StopStringCriteria

from dynatree import custom_generate

# Functions keep what they have learned about a model, so calls with equal arguments share one.
_FUNCTIONS = WeakKeyDictionary()


def generate(
    model,
    assistant_model=None,
    method="cost_aware",
    method_options=None,
    exact=None,
    tokenizer=None,
    stop_strings=None,
    stopping_criteria=None,
    **arguments,
):
    """Return what ``model.generate`` returns, faster.

    Args:
        model: the target.
        assistant_model: the draft; None for proposals from the text and from earlier predictions alone.
        method: "cost_aware", "dynatree", "fixed_tree", "chain" or "autoregressive".
        method_options: options of the method, for example ``{"length": 4}`` for "chain".
        exact: "strict" for the tokens of plain decoding also in bfloat16 and float16, on a CPU.
        tokenizer: tokenizer of both models, for stop strings.
        stop_strings: texts that end the output.
        stopping_criteria: see ``model.generate``.
        **arguments: the other arguments of ``model.generate``.
    """
    if stop_strings is not None:
        stopping_criteria = [*(stopping_criteria or ()), StopStringCriteria(tokenizer, stop_strings)]
    options = dict(method_options or {})
    known = _FUNCTIONS.setdefault(model, {})
    key = (id(assistant_model), id(tokenizer), method, exact, repr(sorted(options.items())))
    if key not in known:  # the function holds both objects, so their ids stay unique
        known[key] = custom_generate(assistant_model, method, tokenizer=tokenizer, exact=exact, **options)
    return model.generate(custom_generate=known[key], stopping_criteria=stopping_criteria, **arguments)
