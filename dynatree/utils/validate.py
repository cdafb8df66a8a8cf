"""Checks of numeric options."""

from dynatree.errors import DynatreeError


def at_least(bound: int, **values: int) -> None:
    """Raise a DynatreeError unless every value is an integer >= ``bound``."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < bound:
            raise DynatreeError(f"{name} must be a whole number of at least {bound}, not {value!r}")
