"""Checks of numbers that a user gives, shared by what has options."""

from dynatree.errors import DynatreeError


def at_least(bound: int, **values: int) -> None:
    """Raise unless every value is a whole number not below ``bound``."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < bound:
            raise DynatreeError(f"{name} must be a whole number of at least {bound}, not {value!r}")
