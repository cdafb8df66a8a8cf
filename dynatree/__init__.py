"""DynaTree: lossless tree speculative decoding for Hugging Face causal language models.

Public names load lazily, so importing one module never pulls in the others.
"""

from importlib import import_module

_HOMES = {
    "DynatreeError": "dynatree.errors",
    "Generation": "dynatree.decoding.results",
    "Past": "dynatree.decoding.past",
    "ModelPair": "dynatree.models.pair",
    "TokenTree": "dynatree.tree",
    "TreeCache": "dynatree.models.kv_cache",
    "__version__": "dynatree.version",
    "use_graphs": "dynatree.models.graphs",
    "check_pair": "dynatree.models.compatibility",
    "clear_memory": "dynatree.drafting.memory",
    "custom_generate": "dynatree.decoding.transformers_generate",
    "generate": "dynatree.decoding.engine",
    "generate_batch": "dynatree.decoding.batch",
    "load_memory": "dynatree.drafting.memory_file",
    "load_pair": "dynatree.models.loading",
    "save_memory": "dynatree.drafting.memory_file",
    "stream": "dynatree.decoding.streaming",
    "stream_async": "dynatree.decoding.streaming",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dynatree' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
