"""Checks of numeric options."""

import operator
from numbers import Integral, Real
from typing import Any

from dynatree.errors import DynatreeError


def at_least(bound: int, **values: object) -> None:
    """Raise a DynatreeError unless every value is an integer >= ``bound``."""
    for name, value in values.items():
        whole_number(name, value, bound)


def whole_number(name: str, value: Any, bound: int, otherwise: str = "") -> int:
    """Return an integer of Python, NumPy or torch as an ``int``.

    Args:
        name: name of the option, for the message.
        value: an integer, or a tensor of one integer. A float is never truncated.
        bound: smallest value allowed.
        otherwise: what else the option may be, for the message.

    Raises:
        DynatreeError: ``value`` is something else, or below ``bound``.
    """
    number = _index(value)
    if number is None or number < bound:
        raise DynatreeError(f"{name} must be a whole number of at least {bound}{otherwise}, not {value!r}")
    return number


def is_whole(value: Any) -> bool:
    """Return True if ``value`` is an integer of Python, NumPy or torch, and not a truth value."""
    return _index(value) is not None


def real_number(value: Any) -> float | None:
    """Return a number of Python, NumPy or torch as a ``float``; None if ``value`` is none or a truth value."""
    value = _scalar(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


def _index(value: Any) -> int | None:
    value = _scalar(value)
    return operator.index(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _scalar(value: Any) -> Any:
    """Return the number in a scalar or a 0-d array of NumPy or torch; anything else unchanged."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
