"""The attention implementation of a model, for the threads that decode with it alone."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from weakref import WeakKeyDictionary

from transformers import PreTrainedConfig, PreTrainedModel

from dynatree.models.attention import GROUPED

_guard = threading.Lock()
_users: dict[int, list[tuple[int, str]]] = {}  # id of a configuration -> thread and implementation of each block
_configs: WeakKeyDictionary[PreTrainedModel, list[PreTrainedConfig]] = WeakKeyDictionary()


@contextmanager
def attention_of(model: PreTrainedModel, implementation: str | None = GROUPED) -> Iterator[None]:
    """Use an attention implementation in ``model`` within the block, in this thread alone.

    Args:
        model: a model of transformers.
        implementation: a name of the ``AttentionInterface``, "eager" for the code of the model itself, None for
            the one that the model has.
    """
    if implementation is None:
        yield
        return
    configs = attention_configs(model)
    for config in configs:
        _begin(config, implementation)
    try:
        yield
    finally:
        for config in configs:
            _end(config)


def attention_configs(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Return the configurations that the modules of a model read their attention from."""
    if model not in _configs:
        found = {id(model.config): model.config}
        for module in model.modules():
            config = getattr(module, "config", None)
            if isinstance(config, PreTrainedConfig):
                found.setdefault(id(config), config)
        _configs[model] = list(found.values())
    return _configs[model]


def _begin(config: PreTrainedConfig, implementation: str) -> None:
    """Let the configuration name the implementation in this thread."""
    with _guard:
        blocks = _users.setdefault(id(config), [])
        if not blocks:
            config.__class__ = _by_thread(type(config))
        blocks.append((threading.get_ident(), implementation))


def _end(config: PreTrainedConfig) -> None:
    with _guard:
        blocks = _users[id(config)]
        latest = max(place for place, (thread, _) in enumerate(blocks) if thread == threading.get_ident())
        del blocks[latest]
        if not blocks:
            del _users[id(config)]
            setattr(config, "__class__", type(config).__mro__[1])  # noqa: B010  pyright rejects the assignment


@functools.cache
def _by_thread(kind: type[PreTrainedConfig]) -> type[PreTrainedConfig]:
    """Return a subclass of a configuration whose attention depends on the thread that reads it."""

    def read(self) -> str | None:
        current = threading.get_ident()
        names = [name for thread, name in _users.get(id(self), ()) if thread == current]
        return names[-1] if names else self._attn_implementation_internal

    attention: Any = kind._attn_implementation
    members = {"_attn_implementation": property(read, attention.fset), "__module__": kind.__module__}
    return cast(type[PreTrainedConfig], type(kind.__name__, (kind,), members))
