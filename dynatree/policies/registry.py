"""The policies by the names of their methods."""

import inspect
from typing import Any

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
    """Return the options of a method as parameters with their defaults.

    Args:
        method: a key of :data:`POLICIES`.

    Raises:
        DynatreeError: the method is unknown.
    """
    return options_of(POLICIES, "method", method)


def make_policy(method: str, **options: Any) -> Policy:
    """Return a new policy.

    Args:
        method: a key of :data:`POLICIES`.
        **options: options of the method, see :func:`policy_options`.

    Raises:
        DynatreeError: the method or an option is unknown, or an option is out of range.
    """
    return make(POLICIES, "method", method, options)
