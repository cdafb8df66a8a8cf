"""Objects made by name: one check of names and options for every registry of classes."""

import inspect
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from dynatree.errors import DynatreeError

Made = TypeVar("Made")


def options_of(registry: Mapping[str, type], kind: str, name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a registered class with their defaults.

    Args:
        registry: classes by name.
        kind: noun for messages, such as "method".
        name: key of the registry.

    Raises:
        DynatreeError: the registry has no such name.
    """
    if name not in registry:
        raise DynatreeError(f"unknown {kind} {name!r}; choose one of {', '.join(registry)}")
    return dict(inspect.signature(registry[name]).parameters)


def make(registry: Mapping[str, type[Made]], kind: str, name: str, options: Mapping[str, Any]) -> Made:
    """Make an object of a registered class.

    Args:
        registry, kind, name: see :func:`options_of`.
        options: arguments of the class.

    Raises:
        DynatreeError: the registry has no such name, or an option is unknown, missing or refused by the class.
    """
    known = options_of(registry, kind, name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        choice = f"its options are {', '.join(known)}" if known else "it has no options"
        raise DynatreeError(f"{kind} {name!r} does not take {', '.join(unknown)}; {choice}")
    missing = [key for key, option in known.items() if option.default is option.empty and key not in options]
    if missing:
        raise DynatreeError(f"{kind} {name!r} needs {', '.join(missing)}")
    return registry[name](**options)


def parse_value(text: str) -> Any:
    """Return the value of an option: a number, true, false or null as in JSON; any other text is a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text
