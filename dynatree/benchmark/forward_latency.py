"""Latency of forward passes by width and context, for stock layers and for those that a run uses."""

from statistics import median

from dynatree.latency.bandwidth import bytes_read, read_bandwidth
from dynatree.latency.measure import CONTEXTS, measure_latency
from dynatree.latency.sample_text import sample_text
from dynatree.models.graphs import use_graphs
from dynatree.models.kernels.backend import use_small_batches
from dynatree.models.pair import ModelPair
from dynatree.models.supported import vocabulary_size

REPETITIONS = 3
GIGA = 1e9


def measure_forwards(pair: ModelPair, backend: str) -> list[dict]:
    """Return one row per model, kind of layers, context and width.

    "ms" is the median latency, "gb_per_s" the rate at which it reads the weights, and "machine_gb_per_s" the read
    bandwidth of the machine. The rate leaves out the KV cache.
    Layers that the run does not use are measured at the middle context only, for comparison.

    Args:
        pair: target and draft with stock layers; with another backend, their layers are replaced in place.
        backend: "stock", "small_batch" or "graphs", as the run uses; stock layers are measured in either case.
    """
    rows = []
    bandwidth = read_bandwidth(pair.device) / GIGA
    if backend == "graphs":
        use_graphs(pair)
    for layers in dict.fromkeys(("stock", backend)):
        for role, model in pair.models.items():
            used = use_small_batches(model) if layers == "small_batch" else model
            static = pair.static[role] if layers == "graphs" else None
            size = bytes_read(used) / GIGA
            contexts = CONTEXTS if layers == backend else CONTEXTS[len(CONTEXTS) // 2 :][:1]
            text = sample_text(pair.tokenizer, vocabulary_size(model))
            latency = measure_latency(used, REPETITIONS, static, median, contexts, text)
            for context, times in zip(latency.contexts, latency.seconds, strict=True):
                for width, seconds in zip(latency.widths, times, strict=True):
                    names = {"model": role, "backend": layers, "context": context, "new": width}
                    rates = {"gb_per_s": size / seconds, "machine_gb_per_s": bandwidth}
                    rows.append(names | {"ms": 1e3 * seconds} | rates)
    return rows
