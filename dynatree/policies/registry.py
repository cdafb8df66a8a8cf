"""Policies by name."""

import inspect

from dynatree.policies.base import Policy
from dynatree.policies.cost_aware import CostAware
from dynatree.policies.dynatree import DynaTree
from dynatree.policies.static import Autoregressive, Chain, FixedTree
from dynatree.utils.registry import make, options_of

POLICIES: dict[str, type[Policy]] = {
    "autoregressive": Autoregressive,
    "chain": Chain,
    "fixed_tree": FixedTree,
    "dynatree": DynaTree,
    "cost_aware": CostAware,
}


def policy_options(method: str) -> dict[str, inspect.Parameter]:
    """Return the options of a method with their defaults.

    Raises:
        DynatreeError: there is no such method.
    """
    return options_of(POLICIES, "method", method)


def make_policy(method: str, **options) -> Policy:
    """Return a policy by its name.

    Raises:
        DynatreeError: there is no such method, or an option is unknown or out of range.
    """
    return make(POLICIES, "method", method, options)
