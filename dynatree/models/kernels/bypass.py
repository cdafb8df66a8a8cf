"""Modules that a fused kernel bypasses, and whether they are still as they were."""

from collections.abc import Sequence
from itertools import chain, repeat
from operator import contains

import torch
from torch import nn


class Bypass:
    """Modules that are not called, because a kernel reads their weights.

    The check runs in every forward pass, over hundreds of modules, so its loops are those of built-in functions.

    Args:
        owner: module that contains the others.
        modules: the modules, all of them below ``owner``.

    Attributes:
        owner: module that contains the others.
        addresses: of the weights, in the order of the modules.
    """

    def __init__(self, owner: nn.Module, modules: Sequence[nn.Module]):
        self.owner = owner
        self._hooks = [hooks for one in modules for hooks in (one._forward_hooks, one._forward_pre_hooks)]
        self._attributes = [one.__dict__ for one in modules]
        self._members = [members for one in (owner, *modules) for members in (one._modules, one._parameters) if members]
        self._kept = self._current()  # keeps the ids from being given to other objects
        self._ids = [id(one) for one in self._kept]
        self._weights = [one for one in self._kept if isinstance(one, nn.Parameter)]
        self.addresses = [weight.data_ptr() for weight in self._weights]

    def holds(self) -> bool:
        """Return True if no module and no weight was replaced, moved or hooked since."""
        every = nn.modules.module
        if any(self._hooks) or every._global_forward_hooks or every._global_forward_pre_hooks:
            return False
        if any(map(contains, self._attributes, repeat("forward"))) or list(map(id, self._current())) != self._ids:
            return False
        return list(map(torch.Tensor.data_ptr, self._weights)) == self.addresses

    def _current(self) -> list:
        """Return the modules and weights in ``owner`` and in the modules."""
        return list(chain.from_iterable(map(dict.values, self._members)))
