"""Requests of the proof: methods of this package with ordinary and recorded forward passes, and peers."""

from typing import Any

from dynatree.benchmark.hf_baselines import METHODS, reference
from dynatree.benchmark.quiet import quiet
from dynatree.decoding.engine import generate
from dynatree.latency.cost_model import CostModel
from dynatree.models.graphs import use_graphs
from dynatree.models.pair import ModelPair
from dynatree.models.recorded_forward import Run

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "autoregressive": ("autoregressive", {}),
    "chain": ("chain", {"length": 5}),
    "fixed_tree": ("fixed_tree", {"depth": 5, "branch": 2, "prune_probability": 0.0}),
    "dynatree": ("dynatree", {}),
    "cost_aware": ("cost_aware", {}),
}


KNOWN = (1, 64), (64,), [[1.0, 2.0]]  # latencies that need no measurement
STATIC_ENTRIES = 1536  # of transformers' static cache, whose forward passes compile once


def cases(pairs: dict[str, ModelPair]) -> list[tuple[str, str]]:
    """Return engine and case of all methods and peers that run on the device of the pairs."""
    methods = [method for method in METHODS if method != "static" or pairs["stock"].device.type == "cuda"]
    return [*((engine, case) for engine in pairs for case in CASES), *(("huggingface", method) for method in methods)]


def both_backends(pair: ModelPair) -> dict[str, ModelPair]:
    """Return pairs of the same models with ordinary and with recorded forward passes; plain calls on a CPU."""
    recorded = ModelPair(pair.target, pair.draft, pair.tokenizer)
    on_cpu = pair.device.type == "cpu"
    pairs = {"stock": pair, "graphs": use_graphs(recorded, _plain if on_cpu else None)}
    for one in pairs.values() if on_cpu else ():  # a CPU checks the program only, and measures no latencies
        one.state.cost_models |= {"target": CostModel(*KNOWN), "draft": CostModel(*KNOWN)}
    return pairs


def _plain(run: Run) -> Run:
    return run


def measured_request(
    pairs: dict[str, ModelPair], engine: str, case: str, prompt: list[int], new_tokens: int
) -> dict[str, Any]:
    """Return the "tokens", "tokens_per_second" after the first token, "rounds" and "seconds" of one request.

    Args:
        pairs: see :func:`both_backends`.
        engine: a key of ``pairs``, or "huggingface".
        case: a key of ``CASES``, or a method of :mod:`dynatree.benchmark.hf_baselines`.
        prompt: token ids.
        new_tokens: tokens to emit.
    """
    pair = pairs.get(engine) or pairs["stock"]
    with quiet(pair.device):
        if engine == "huggingface":
            static = {"capacity": STATIC_ENTRIES} if case == "static" else {}
            found = reference(pair, prompt, case, new_tokens, **static)
            tokens, rounds, seconds = found.tokens, found.rounds, found.seconds
        else:
            method, options = CASES[case]
            out = generate(pair, prompt, method, new_tokens, None, **options)
            tokens, rounds, seconds = out.tokens, out.stats.rounds, out.stats.seconds
    rate = (len(tokens) - 1) / (seconds["total"] - seconds["ttft"])
    return {"tokens": tokens, "tokens_per_second": rate, "rounds": rounds, "seconds": seconds}
