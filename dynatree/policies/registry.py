"""Policies by name."""

import inspect

from dynatree.errors import DynatreeError
from dynatree.policies.base import Policy
from dynatree.policies.cost_aware import CostAware
from dynatree.policies.dynatree import DynaTree
from dynatree.policies.static import Autoregressive, Chain, FixedTree

POLICIES: dict[str, type[Policy]] = {
    "autoregressive": Autoregressive,
    "chain": Chain,
    "fixed_tree": FixedTree,
    "dynatree": DynaTree,
    "cost_aware": CostAware,
}


def policy_options(method: str) -> dict[str, inspect.Parameter]:
    """The options of a method with their defaults.

    Raises:
        DynatreeError: there is no such method.
    """
    if method not in POLICIES:
        raise DynatreeError(f"unknown method {method!r}; choose one of {', '.join(POLICIES)}")
    return {} if method == "autoregressive" else dict(inspect.signature(POLICIES[method]).parameters)


def make_policy(method: str, **options) -> Policy:
    """A policy by its name.

    Raises:
        DynatreeError: there is no such method, or an option is unknown or out of range.
    """
    known = policy_options(method)
    unknown = sorted(set(options) - set(known))
    if unknown:
        choice = f"its options are {', '.join(known)}" if known else "it has no options"
        raise DynatreeError(f"method {method!r} does not take {', '.join(unknown)}; {choice}")
    return POLICIES[method](**options)
