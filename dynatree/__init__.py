"""DynaTree: lossless tree speculative decoding for Hugging Face causal language models.

Public names load lazily, so importing one module never pulls in the others.
"""

from importlib import import_module

_HOMES = {
    "DynatreeError": "dynatree.errors",
    "Generation": "dynatree.decoding",
    "ModelPair": "dynatree.models",
    "TokenTree": "dynatree.tree",
    "TreeCache": "dynatree.cache",
    "__version__": "dynatree.version",
    "compile_pair": "dynatree.static",
    "custom_generate": "dynatree.integration",
    "generate": "dynatree.decoding",
    "generate_batch": "dynatree.batching",
    "load_pair": "dynatree.loading",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dynatree' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
