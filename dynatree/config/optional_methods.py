"""Methods of other engines, which a run leaves out where their package is not installed."""

from importlib.util import find_spec

from dynatree.errors import DynatreeError

LLAMA_CPP_PACKAGE = "xllamacpp"
INSTALL_LLAMA_CPP = f"install it with: pip install {LLAMA_CPP_PACKAGE} (or this package with the extra 'peers')"
LLAMA_CPP_OPTIONS = {"generate": set(), "ngram": {"pattern", "draft"}}


def check_llama_cpp(method: str, options: dict, draft_cache) -> None:
    """Raise unless llama.cpp has the method and takes exactly these options.

    Args:
        method: "generate", plain decoding; or "ngram", which drafts ``draft`` tokens after an earlier occurrence of the
            latest ``pattern`` tokens.
        options: its options.
        draft_cache: compression of the draft's cache, which must be None.
    """
    if method not in LLAMA_CPP_OPTIONS:
        raise DynatreeError(f"unknown llama.cpp method {method!r}; choose one of {', '.join(LLAMA_CPP_OPTIONS)}")
    if draft_cache is not None or set(options) != LLAMA_CPP_OPTIONS[method]:
        wanted = ", ".join(sorted(LLAMA_CPP_OPTIONS[method])) or "no options"
        raise DynatreeError(f"llama.cpp's {method!r} takes {wanted}")


def leave_out_missing(config: dict) -> str | None:
    """Remove the optional methods of a configuration whose package is not installed, in place.

    Returns:
        One line that names them and says how to install the package; None if nothing is removed.
    """
    peers = config["experiments"]["peers"]
    removed = peers["optional_methods"]
    if not removed or find_spec(LLAMA_CPP_PACKAGE):
        return None
    peers["optional_methods"] = []
    return f"llama.cpp is not installed, so peers runs without {', '.join(removed)}; {INSTALL_LLAMA_CPP}"
