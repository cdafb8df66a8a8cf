"""Compression of key/value caches: methods that select entries, and caches that keep their true positions.

Public names load lazily, so importing one module does not import the others.
"""

from importlib import import_module

_HOMES = {
    "METHODS": "dynatree.kvcompress.registry",
    "CompressedCache": "dynatree.kvcompress.hf_cache",
    "Method": "dynatree.kvcompress.methods.base",
    "compress": "dynatree.kvcompress.context",
    "make_method": "dynatree.kvcompress.registry",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dynatree.kvcompress' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
