"""llama.cpp on the target's weights: greedy decoding alone, and with its speculation from n-grams.

llama.cpp runs in this process, as the server of the wheel ``xllamacpp``. It listens on a free port of this machine's
loopback address, because only its HTTP interface returns token ids. Settings that do not follow from the comparison are
llama.cpp's defaults, for example a KV cache in float16.
"""

import json
import secrets
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from dynatree.benchmark.hf_baselines import Reference
from dynatree.config.jobs import Case
from dynatree.config.optional_methods import INSTALL_LLAMA_CPP
from dynatree.data.gguf_export import FILE
from dynatree.errors import DynatreeError

POSITIONS = 4096  # capacity of the KV cache, unless the model has fewer positions
ERRORS_ONLY = 1  # verbosity of the server
IDLE = 0.02  # seconds of a look at the CPU time of this process
BUSY_SHARE = 0.1  # CPU seconds per second above which threads of this process still run


class LlamaCpp:
    """llama.cpp with the weights of a GGUF file, one server for each method and its options.

    The servers map the same file, so they share its memory. Use it as a context manager, which ends the servers.

    Args:
        folder: folder of ``model.gguf``.
        threads: threads for prompts and for decoding.
    """

    def __init__(self, folder: Path, threads: int):
        self.folder = folder
        self.threads = threads
        self._servers: dict[str, Any] = {}

    def __enter__(self) -> "LlamaCpp":
        return self

    def __exit__(self, *_) -> None:
        self._servers.clear()  # the last reference ends a server

    def decode(self, prompt: list[int], case: Case, new_tokens: int) -> tuple[Reference, dict[str, int]]:
        """Decode greedily; llama.cpp neither reads nor writes text.

        Threads of llama.cpp poll for work after a request, so the call returns when they have stopped.

        Args:
            prompt: token ids.
            case: the case, see :func:`dynatree.config.optional_methods.check_llama_cpp`.
            new_tokens: tokens to emit.

        Returns:
            The output and its cost, and the numbers of "verified" and "accepted" drafted tokens.
        """
        server = self._server(case)
        request = {
            "prompt": prompt,
            "n_predict": new_tokens,
            "samplers": ["top_k"],
            "top_k": 1,
            "cache_prompt": False,
            "return_tokens": True,
        }
        start = time.perf_counter()
        answer = server.complete(request)
        total = time.perf_counter() - start
        _wait_for_idle_threads()
        timings = answer["timings"]
        seconds = {"total": total, "ttft": timings["prompt_ms"] / 1e3}
        drafted, accepted = timings.get("draft_n", 0), timings.get("draft_n_accepted", 0)
        tokens = answer["tokens"]
        counts = {"verified": drafted, "accepted": accepted, "drafted_depth": drafted}
        passes: dict[str, list[list[int]]] = {"target": [], "draft": []}  # the server does not report them
        return Reference(tokens, seconds, len(tokens) - 1 - accepted, 0, passes), counts

    def _server(self, case: Case) -> "_Server":
        key = json.dumps([case.method, case.options], sort_keys=True)
        if key not in self._servers:
            self._servers[key] = _Server(self.folder / FILE, self.threads, case)
        return self._servers[key]


class _Server:
    """A running server of llama.cpp."""

    def __init__(self, path: Path, threads: int, case: Case):
        library = load_library()
        params = library.CommonParams()
        params.model.path = str(path)
        params.n_ctx = POSITIONS
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.fit_params = False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0
        params.port = 0  # a free one
        params.verbosity = ERRORS_ONLY
        params.ui = False
        self.key = secrets.token_hex()
        params.api_keys = [self.key]  # other users of this machine cannot send requests
        if case.method == "ngram":
            _speculate(library, params, **case.options)
        try:
            self.server = library.Server(params)
        except RuntimeError as error:
            raise DynatreeError(f"llama.cpp cannot load {path}: {error}; delete its folder and run again") from error
        self.address = urlparse(self.server.listening_address)

    def complete(self, request: dict) -> dict:
        """Send a request and return the answer."""
        connection = HTTPConnection(str(self.address.hostname), self.address.port)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", "/completion", json.dumps(request), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise DynatreeError(f"llama.cpp refuses a request: {answer['error'].get('message')}")
        return answer


def _speculate(library: Any, params: Any, pattern: int, draft: int) -> None:
    """Draft the continuation of an earlier occurrence of the latest tokens."""
    params.speculative.types = [library.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    params.speculative.ngram_simple.size_n = pattern
    params.speculative.ngram_simple.size_m = draft


def load_library() -> Any:
    """Return the module of llama.cpp.

    Raises:
        DynatreeError: it is not installed.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise DynatreeError(f"llama.cpp is not installed; {INSTALL_LLAMA_CPP}") from error
    return xllamacpp


def _wait_for_idle_threads(
    cpu: Callable[[], float] = time.process_time, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Return when the other threads of this process use no CPU time."""
    busy = True
    while busy:
        before, start = cpu(), clock()
        time.sleep(IDLE)
        busy = cpu() - before > BUSY_SHARE * (clock() - start)
