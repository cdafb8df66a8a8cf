"""Measurements with known numbers."""

import copy

from dynatree.benchmark.records import Record

LABELS = {
    "autoregressive": "Autoregressive",
    "hf_generate": "HF generate",
    "hf_assisted": "HF assisted",
    "hf_assisted_fixed": "HF assisted, K=2",
    "linear": "Linear, K=2",
    "fixed_tree": "Fixed tree",
    "dynatree_static": "DynaTree, no history",
    "dynatree": "DynaTree",
}
OPTIONS = {
    "linear": {"length": 2},
    "fixed_tree": {"depth": 2},
    "dynatree": {"base_depth": 2},
    "dynatree_static": {"base_depth": 2},
}
RATES = dict(zip(LABELS, (10, 9.5, 6, 5, 12, 13, 13.5, 14), strict=True))  # tokens per second on an average prompt


def measurement(dataset: str = "narrative", prompts: int = 4) -> tuple[dict, list[Record]]:
    """Meta and records of a run whose speed-ups are exactly the ratios of RATES."""
    engines = {key: "huggingface" if key.startswith("hf") else "dynatree" for key in LABELS}
    names = {"dynatree_static": "dynatree", "hf_generate": "generate"}
    methods = {
        key: {
            "label": label,
            "engine": engines[key],
            "method": names.get(key, "assisted" if key.startswith("hf") else key),
            "options": OPTIONS.get(key, {}),
        }
        for key, label in LABELS.items()
    }
    meta = {
        "config": {"dataset": dataset, "methods": methods, "repetitions": 1, "dtype": "float32", "new_tokens": 21},
        "dataset_label": dataset.capitalize(),
        "code": "c0de",
        "models": {role: {"folder": role, "sha256": role * 9, "parameters": 10**6} for role in ("target", "draft")},
        "environment": {
            "commit": "0123456789abcdef",
            "uncommitted_changes": False,
            "machine": "m",
            "system": "Debian_12 & more",
            "processor": "100% {odd} CPU #1",
            "cores": 2,
            "memory_gib": 23.5,
            "device": "CPU",
            "threads": 2,
            "cpu_capability": "AVX2",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
        },
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:10:00+00:00",
    }
    records = []
    for index in range(prompts):
        for key, rate in RATES.items():
            total = 21 / (rate * (1 + 0.1 * index))
            ours = engines[key] == "dynatree"
            seconds = {"total": total, "ttft": total / 21}
            seconds |= {"prefill": 0.0, "draft": 0.0, "verify": 0.95 * total, "other": 0.05 * total} if ours else {}
            counts = (15, 30, 8, 20) if ours else (15, None, None, None)
            records.append(
                Record(f"p{index}", 50, key, 0, len(records), list(range(21)), None, seconds, 10 + index, *counts, 0.5)
            )
    return copy.deepcopy(meta), records
