"""Made-up results with the columns of the real ones."""

import numpy as np
import pandas as pd

from dynatree.analysis.inference import geometric_mean
from dynatree.heads.report import head_rows

LABELS = {
    "autoregressive": "Autoregressive",
    "hf_generate": "HF generate",
    "hf_assisted": "HF assisted",
    "hf_assisted_fixed": "HF assisted, K=3",
    "chain": "Linear, K=3",
    "fixed_tree": "Fixed tree",
    "dynatree_static": "DynaTree, no history",
    "dynatree": "DynaTree",
}
SPEED = dict(zip(LABELS, (1, 0.97, 0.95, 0.9, 1.15, 1.2, 1.3, 1.35), strict=True))
TOKENS = dict(zip(LABELS, (1, 1, 2.2, 2.0, 2.1, 2.6, 2.8, 2.75), strict=True))
TUNED = ("autoregressive", "chain", "fixed_tree", "dynatree")
DATASETS = {"encyclopaedic": "Encyclopaedic", "narrative": "Narrative"}
PROMPTS = 8


def _names(experiment: str, dataset: str, case: str, group: str = "all", dtype: str = "float32") -> dict:
    return {
        "experiment": experiment,
        "job": f"{experiment}-{dataset}-{dtype}",
        "dataset": dataset,
        "dataset_label": DATASETS[dataset],
        "stands_for": "WikiText-2",
        "group": group,
        "case": case,
        "label": LABELS[case],
        "engine": "huggingface" if case.startswith("hf") else "dynatree",
        "dtype": dtype,
    }


def request_frame(datasets=tuple(DATASETS), cases=tuple(LABELS)) -> pd.DataFrame:
    """Requests of a main comparison, with one prompt far from the others."""
    rng = np.random.default_rng(1)
    rows = []
    for dataset in datasets:
        for prompt in range(PROMPTS):
            pace = 13 * rng.lognormal(0, 0.05)
            for case in cases:
                factor = SPEED[case] * (rng.lognormal(0, 0.12) if case != "autoregressive" else 1)
                factor *= 2 if prompt == 3 and case == "dynatree" else 1
                values = {"throughput": pace * factor, "tokens_per_round": TOKENS[case] * rng.lognormal(0, 0.1)}
                known = {"prompt": f"p{prompt}", "article": f"p{prompt}", "sitting": 0, "repetition": 0}
                known |= {"baseline": "one session", "work_throughput": pace * SPEED[case]}
                rows.append(_names("main", dataset, case) | known | values)
    return pd.DataFrame(rows)


def _around(value: float) -> tuple[float, float, float]:
    return value, 0.93 * value, 1.07 * value


def summary_row(names: dict, factor: float = 1.0, new_tokens: int = 64) -> dict:
    """The summary of one case; ``factor`` scales its speed."""
    case = names["case"]
    rng = np.random.default_rng([ord(c) for c in f"{names['job']}{names['group']}{case}"])
    ratios = SPEED[case] * factor * rng.lognormal(0, 0.1, PROMPTS) if case != "autoregressive" else np.ones(PROMPTS)
    ours, drafts = not case.startswith("hf"), case not in ("autoregressive", "hf_generate")
    tpot = 70 / ratios.mean()
    shares = {"draft": 0.25 * drafts, "verify": 0.7, "other": 0.05}
    bounded = {
        "throughput": _around(13.5 * ratios.mean()),
        "ttft_ms": _around(rng.normal(280, 7)),
        "tpot_ms": _around(tpot),
        "tokens_per_round": _around(TOKENS[case] * rng.lognormal(0, 0.04)) if drafts else (1, 1, 1),
        "acceptance_rate": _around(0.45) if ours and drafts else (np.nan,) * 3,
        "speedup": _around(geometric_mean(ratios)),
    }
    row = names | {
        "work_speedup": float(SPEED[case] * factor),
        "articles": PROMPTS,
        "prompts": PROMPTS,
        "repetitions": 1,
        "prompt_tokens": 50.0,
        "new_tokens": new_tokens,
    }
    row |= {f"{name}{end}": v for name, b in bounded.items() for end, v in zip(("", "_low", "_high"), b, strict=True)}
    row |= {f"{part}_ms": tpot * new_tokens * share if ours else np.nan for part, share in shares.items()}
    return row | {
        "identical": PROMPTS if names["dtype"] == "float32" else PROMPTS - 2,
        "margin": np.nan if names["dtype"] == "float32" else 0.0312,
        "rounds": new_tokens / bounded["tokens_per_round"][0],
        "draft_precision": 0.3 if ours and drafts else np.nan,
        "published_acceptance": 0.7 if ours and drafts else np.nan,
        "draft_forwards_per_token": 2 / TOKENS[case] * drafts,
        "verified_per_token": (8 / TOKENS[case] if drafts else 0) if ours else np.nan,
        "prefill_ms": 210.0 if ours else np.nan,
        "overhead_share": 0.05 if ours else np.nan,
        "looping_share": 1 - 40 / (new_tokens + 40),
        "distinct_4grams": 0.7,
        "speedup_p": np.nan if case == "autoregressive" else 0.5 ** TOKENS[case] / 100 * (len(case) % 7),
        "speedup_effect": np.nan if case == "autoregressive" else ratios.mean() - 1,
    }


def main_frame(datasets=tuple(DATASETS), cases=tuple(LABELS)) -> pd.DataFrame:
    """Summary of a main comparison."""
    return pd.DataFrame([summary_row(_names("main", dataset, case)) for dataset in datasets for case in cases])


def length_frame(sizes=(100, 200, 300, 500, 750, 1000, 1500), datasets=tuple(DATASETS)) -> pd.DataFrame:
    """Summary of a scaling experiment over new tokens; ``limit`` makes it one over prompts too."""
    return pd.DataFrame(
        [
            summary_row(_names("length", dataset, case, str(size)), 1 + 0.05 * i * (case != "autoregressive"), size)
            | {"limit": size}
            for dataset in datasets
            for i, size in enumerate(sizes)
            for case in TUNED
        ]
    )


def dtype_frame(dtypes=("float32", "float16", "bfloat16", "int8"), datasets=tuple(DATASETS)) -> pd.DataFrame:
    """Summary of number formats."""
    return pd.DataFrame(
        [
            summary_row(_names("dtypes", dataset, case, dtype=dtype))
            for dataset in datasets
            for dtype in dtypes
            for case in TUNED
        ]
    )


def memory_frame(datasets=tuple(DATASETS), cases=tuple(LABELS)) -> pd.DataFrame:
    """Summary of peak memory."""
    rows = []
    for dataset in datasets:
        for case in cases:
            drafts = case not in ("autoregressive", "hf_generate")
            parts = {
                "weights_target_mib": 513.1,
                "weights_draft_mib": 61.7 * drafts,
                "cache_target_mib": 22.5 * (1 + 0.1 * drafts),
                "cache_draft_mib": 2.4 * drafts,
                "logits_mib": 0.2 + 1.5 * drafts,
                "other_mib": 3.0 + drafts * len(case) / 5,
            }
            row = _names("memory", dataset, case) | parts | {"peak_mib": sum(parts.values())}
            rows.append(row | {"prompts": 2, "new_tokens": 64, "how": "live tensors"})
    frame = pd.DataFrame(rows)
    baseline = frame[frame["case"] == "autoregressive"].set_index("dataset")["peak_mib"]
    return frame.assign(over_baseline=frame["peak_mib"] / frame["dataset"].map(baseline))


HEAD_KINDS = {  # kind -> entropy, mass of the bands sink, local, recent and global, and window
    "sink": (1.5, (0.6, 0.3, 0.08, 0.02), 32),
    "local": (1.0, (0.1, 0.8, 0.08, 0.02), 16),
    "mixed": (2.5, (0.2, 0.4, 0.25, 0.15), 128),
    "global": (4.0, (0.05, 0.1, 0.15, 0.7), None),
}


def head_content(layers: int = 6, heads: int = 4, kinds=tuple(HEAD_KINDS)) -> dict:
    """The file of the heads of a model, two of which share their keys; the kinds follow each other."""
    edges = [0, *(2**power for power in range(9))]
    entries = []
    for layer in range(layers):
        for head in range(heads):
            kind = kinds[(layer * heads + head) % len(kinds)]
            entropy, masses, window = HEAD_KINDS[kind]
            profile = [(1 - masses[0]) / len(edges)] * len(edges)
            bands = dict(zip(("sink", "local", "recent", "global"), masses, strict=True))
            names = {"layer": layer, "head": head, "kind": kind, "window": window}
            entries.append(names | {"entropy": entropy + layer / 100} | bands | {"profile": profile})
    return {
        "format": "dynatree-heads",
        "version": 1,
        "model": {"layers": layers, "heads": heads, "kv_heads": heads // 2},
        "text": {"datasets": ["encyclopaedic", "narrative"], "source": "made up", "tokens": 500, "queries": 480},
        "bands": {"sinks": 4, "local": 16, "recent": 128},
        "thresholds": {"entropy": 3.0, "far": 0.2, "sink": 0.3, "local": 0.6, "coverage": 0.95, "reach": 0.5},
        "edges": edges,
        "heads": entries,
    }


def head_frame(layers: int = 6, heads: int = 4, kinds=tuple(HEAD_KINDS)) -> pd.DataFrame:
    """The table that comes with :func:`head_content`."""
    return pd.DataFrame(head_rows(head_content(layers, heads, kinds)))
