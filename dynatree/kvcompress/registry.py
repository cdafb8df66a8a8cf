"""Compression methods by name."""

import inspect
import json

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.methods.full import NoCompression
from dynatree.kvcompress.methods.h2o import H2O
from dynatree.kvcompress.methods.head_aware import HeadAware
from dynatree.kvcompress.methods.l2_norm import L2Norm
from dynatree.kvcompress.methods.l2_norm_recent import L2NormRecent
from dynatree.kvcompress.methods.sliding_window import SlidingWindow
from dynatree.kvcompress.methods.snapkv import SnapKV
from dynatree.kvcompress.methods.streaming_llm import StreamingLLM

METHODS: dict[str, type[Method]] = {
    "full": NoCompression,
    "l2_norm": L2Norm,
    "l2_norm_recent": L2NormRecent,
    "sliding_window": SlidingWindow,
    "streaming_llm": StreamingLLM,
    "head_aware": HeadAware,
    "snapkv": SnapKV,
    "h2o": H2O,
}


def method_options(method: str) -> dict[str, inspect.Parameter]:
    """The options of a compression method with their defaults.

    Raises:
        DynatreeError: there is no such method.
    """
    if method not in METHODS:
        raise DynatreeError(f"unknown compression method {method!r}; choose one of {', '.join(METHODS)}")
    return dict(inspect.signature(METHODS[method]).parameters)


def make_method(method: str | Method, **options) -> Method:
    """A compression method by its name; one that is made already is returned as it is.

    Raises:
        DynatreeError: there is no such method, or an option is unknown, missing or out of range.
    """
    if isinstance(method, Method):
        if options:
            raise DynatreeError(f"options ({', '.join(options)}) go into the method object, not beside it")
        return method
    known = method_options(method)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DynatreeError(
            f"compression method {method!r} does not take {', '.join(unknown)}; its options are {', '.join(known)}"
        )
    missing = [name for name, option in known.items() if option.default is option.empty and name not in options]
    if missing:
        raise DynatreeError(f"compression method {method!r} needs {', '.join(missing)}")
    return METHODS[method](**options)


def find_method(given) -> Method | None:
    """The compression that a request asks for; None if it is none.

    Args:
        given: None, a method object, a name, a name with options as a pair or as text ("streaming_llm:budget=64"), or
            a mapping of "method" and options, also as JSON text.

    Raises:
        DynatreeError: it is none of these, or :func:`make_method` refuses it.
    """
    if given is None:
        return None
    try:
        name, options = _parts(given)
    except (TypeError, ValueError, KeyError):
        raise DynatreeError(
            f"cannot read the compression {given!r}; write a name, name:option=value,option=value, "
            'a pair (name, {option: value}) or {"method": name, option: value}'
        ) from None
    method = make_method(name, **options)
    return None if isinstance(method, NoCompression) else method


def _parts(given) -> tuple[str | Method, dict]:
    if isinstance(given, Method):
        return given, {}
    if isinstance(given, str):
        if given.startswith("{"):
            return _parts(json.loads(given))
        name, _, settings = given.partition(":")
        return name, {key: _value(text) for key, text in (one.split("=") for one in settings.split(",") if one)}
    if isinstance(given, dict):
        return given["method"], {key: value for key, value in given.items() if key != "method"}
    name, options = given
    return name, dict(options)


def _value(text: str):
    """A number, true, false or null as in JSON; anything else is a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text
