"""Compression methods by name."""

import inspect
import json
from typing import Any

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.methods.full import FullCache
from dynatree.kvcompress.methods.h2o import H2O
from dynatree.kvcompress.methods.head_aware import HeadAware
from dynatree.kvcompress.methods.l2_norm import L2Norm
from dynatree.kvcompress.methods.l2_norm_recent import L2NormRecent
from dynatree.kvcompress.methods.sliding_window import SlidingWindow
from dynatree.kvcompress.methods.snapkv import SnapKV
from dynatree.kvcompress.methods.streaming_llm import StreamingLLM
from dynatree.utils.registry import make, options_of, parse_value

CacheArgument = str | tuple[str, dict[str, Any]] | dict[str, Any] | Method | None

KIND = "compression method"
METHODS: dict[str, type[Method]] = {
    "full": FullCache,
    "l2_norm": L2Norm,
    "l2_norm_recent": L2NormRecent,
    "sliding_window": SlidingWindow,
    "streaming_llm": StreamingLLM,
    "head_aware": HeadAware,
    "snapkv": SnapKV,
    "h2o": H2O,
}


def method_options(method: str) -> dict[str, inspect.Parameter]:
    """Return the options of a compression method with their defaults.

    Raises:
        DynatreeError: there is no such method.
    """
    return options_of(METHODS, KIND, method)


def make_method(method: str | Method, **options) -> Method:
    """Return a compression method by its name; return a method object unchanged.

    Args:
        method: a name in :data:`METHODS`, or a method object.
        options: arguments of the method's class; none beside an object.

    Raises:
        DynatreeError: there is no such method, or an option is unknown, missing or out of range.
    """
    if not isinstance(method, Method):
        return make(METHODS, KIND, method, options)
    if options:
        raise DynatreeError(f"options ({', '.join(options)}) go into the method object, not beside it")
    return method


def find_method(given: CacheArgument) -> Method | None:
    """Return the compression method that a request names; None if it names none or the full cache.

    Args:
        given: None, a method object, a name, a name with options as a pair or as text ("streaming_llm:budget=64"), or
            a mapping of "method" and options, also as JSON text.

    Raises:
        DynatreeError: ``given`` is none of these, or :func:`make_method` refuses it.
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
    return None if isinstance(method, FullCache) else method


def _parts(given: str | tuple[str, dict] | dict | Method) -> tuple[str | Method, dict]:
    if isinstance(given, Method):
        return given, {}
    if isinstance(given, str):
        if given.startswith("{"):
            return _parts(json.loads(given))
        name, _, settings = given.partition(":")
        return name, {key: parse_value(text) for key, text in (one.split("=") for one in settings.split(",") if one)}
    if isinstance(given, dict):
        return given["method"], {key: value for key, value in given.items() if key != "method"}
    name, options = given
    return name, dict(options)
