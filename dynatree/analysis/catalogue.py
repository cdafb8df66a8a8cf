"""Every table and figure of the paper: its inputs, its section of the report, and its caption there.

The Snakefile reads this module. Scripts do not import it, so a changed caption makes no table or figure stale.
Each key names a module in ``dynatree/analysis/tables`` or ``dynatree/analysis/figures``.
"""

from dataclasses import dataclass

METHOD, COMPARISON, SETTINGS, SCALING = "Method", "Comparison", "Settings", "Scaling"
HEADS, COMPRESSION = "Attention heads", "Cache compression"


@dataclass(frozen=True)
class Entry:
    """A table or figure.

    Attributes:
        inputs: files below ``results/RUN/``; those in ``published/`` are below ``results/``.
        section: part of the report.
        caption: one or two sentences of reStructuredText.
    """

    inputs: tuple[str, ...]
    section: str
    caption: str


TABLES = {
    "main": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Throughput, speed-up, tokens per round, acceptance rate and latency of every method.",
    ),
    "comparisons": Entry(
        ("requests/main.csv",),
        COMPARISON,
        "DynaTree against each other method, paired by prompt, with Holm-corrected p-values.",
    ),
    "peers": Entry(
        ("requests/peers.csv",),
        COMPARISON,
        "Paired speed-up of every lossless method on the same weights: over our plain decoding, over that of the same"
        " engine and over that of llama.cpp; and speed-up of the cost-aware policy over the method.",
    ),
    "draft_cache": Entry(
        ("requests/draft_cache.csv",),
        COMPRESSION,
        "Draft models with a compressed KV cache: entries kept, acceptance rate, tokens per round and throughput,"
        " relative to the full cache.",
    ),
    "oracle_bound": Entry(
        ("bounds/peers.csv",),
        COMPARISON,
        "Measured throughput against an upper bound: the best tree size of every round, chosen in hindsight.",
    ),
    "arena": Entry(
        ("arena/replay.csv",),
        COMPARISON,
        "Free drafters on recorded outputs: tokens per round by tree size, best speed-up under the measured latency of"
        " forward passes, and host time.",
    ),
    "shapes": Entry(
        ("arena/shapes.csv", "shape_claims.csv"),
        COMPARISON,
        "Trees against tuned chains of the same free drafts on recorded outputs, by source and data set: best sizes,"
        " tokens per round, predicted speed-up, and the verdict.",
    ),
    "forwards": Entry(
        ("latency.csv",),
        COMPARISON,
        "Latency of a forward pass by number of tokens, model and layer implementation, and the rate at which it reads"
        " the weights, relative to the read bandwidth of the machine.",
    ),
    "heads": Entry(
        ("heads.csv",),
        HEADS,
        "Kinds of attention heads in the early, middle and late layers of the target.",
    ),
    "compression": Entry(
        ("summary/compression.csv",),
        COMPRESSION,
        "Perplexity, next-token accuracy, entries and bytes of every compressed KV cache.",
    ),
    "cache_times": Entry(
        ("summary/compression.csv",),
        COMPRESSION,
        "Latency and memory of generation with a compressed KV cache.",
    ),
    "passkey": Entry(
        ("summary/passkey.csv",),
        COMPRESSION,
        "Passkey retrieval: share of the numbers hidden in filler text that the model retrieves.",
    ),
    "compression_published": Entry(
        ("summary/compression.csv", "published/compression.csv"),
        COMPRESSION,
        "Published perplexities with a compressed KV cache beside those of this run.",
    ),
    "latency": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Time to first token, time per further token, and the share spent outside the models.",
    ),
    "efficiency": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Tokens per round, and their cost in verified nodes and draft forward passes.",
    ),
    "memory": Entry(
        ("summary/memory.csv",),
        COMPARISON,
        "Peak memory of every method.",
    ),
    "sweep": Entry(
        ("summary/sweep.csv",),
        SETTINGS,
        "Every setting of the sweep. The fastest chain and the fastest tree become the tuned baselines.",
    ),
    "ablation": Entry(
        ("summary/ablation.csv",),
        SETTINGS,
        "Contribution of each component of DynaTree.",
    ),
    "pruning": Entry(
        ("summary/pruning.csv",),
        SETTINGS,
        "Fixed trees with and without pruning.",
    ),
    "sensitivity": Entry(
        ("summary/sensitivity.csv",),
        SETTINGS,
        "DynaTree with different thresholds, branch bounds and depths.",
    ),
    "length": Entry(
        ("summary/length.csv",),
        SCALING,
        "Speed-up by number of new tokens.",
    ),
    "prompt_length": Entry(
        ("summary/prompt_length.csv",),
        SCALING,
        "Speed-up by prompt length.",
    ),
    "dtypes": Entry(
        ("summary/dtypes.csv",),
        SCALING,
        "Throughput and speed-up by number format.",
    ),
    "reproduction": Entry(
        ("summary/main.csv", "published/main.csv"),
        COMPARISON,
        "Published numbers beside those of this run.",
    ),
}

FIGURES = {
    "paradigms": Entry(
        (),
        METHOD,
        "Three decoding schemes: one token per target forward pass, a drafted chain verified in one forward pass,"
        " and a drafted tree verified in one forward pass.",
    ),
    "round": Entry(
        (),
        METHOD,
        "One round of decoding: draft, verify, accept, keep, observe.",
    ),
    "policy": Entry(
        (),
        METHOD,
        "Decisions of DynaTree at each node: breadth, depth, pruning.",
    ),
    "tree": Entry(
        ("tree.json",),
        METHOD,
        "A tree drafted by this pair of models, with path probabilities, the accepted path, and the attention mask.",
    ),
    "main": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Throughput of every method, and its speed-up over autoregressive decoding."
        " A method is faster where its interval lies entirely above 1.",
    ),
    "prompts": Entry(
        ("requests/main.csv",),
        COMPARISON,
        "Speed-up of every prompt, one point each. All prompts are shown.",
    ),
    "peers": Entry(
        ("requests/peers.csv",),
        COMPARISON,
        "Paired speed-up of every lossless method on the same weights, over all data sets, for the longest outputs.",
    ),
    "arena": Entry(
        ("arena/replay.csv",),
        COMPARISON,
        "Free drafters on recorded outputs: tokens per round and predicted speed-up by tree size.",
    ),
    "draft_cache": Entry(
        ("requests/draft_cache.csv",),
        COMPRESSION,
        "Tokens per round and throughput with a compressed KV cache of the draft, relative to the full cache.",
    ),
    "forwards": Entry(
        ("latency.csv",),
        COMPARISON,
        "Latency of a forward pass by number of tokens.",
    ),
    "heads": Entry(
        ("heads.csv",),
        HEADS,
        "Entropy of every attention head of the target, and the share of its attention on the first tokens.",
    ),
    "head_kinds": Entry(
        ("heads.csv",),
        HEADS,
        "Kinds of attention heads by layer, by entropy and sink attention, and by attention distance.",
    ),
    "compression": Entry(
        ("summary/compression.csv",),
        COMPRESSION,
        "Perplexity with a compressed KV cache relative to the full cache, by entries per head.",
    ),
    "cache_growth": Entry(
        ("summary/cache_growth.csv",),
        COMPRESSION,
        "Size of the KV cache by number of tokens read.",
    ),
    "passkey": Entry(
        ("summary/passkey.csv",),
        COMPRESSION,
        "Passkey retrieval by method and by position of the hidden number.",
    ),
    "latency": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Time to first token, and composition of the time per further token.",
    ),
    "efficiency": Entry(
        ("summary/main.csv",),
        COMPARISON,
        "Tokens per round against their cost in verified nodes and draft forward passes.",
    ),
    "memory": Entry(
        ("summary/memory.csv",),
        COMPARISON,
        "Peak memory of every method, by use.",
    ),
    "sweep": Entry(
        ("summary/sweep.csv",),
        SETTINGS,
        "The sweep that tunes the baselines: speed-up by depth, breadth and pruning threshold of fixed trees.",
    ),
    "ablation": Entry(
        ("summary/ablation.csv",),
        SETTINGS,
        "Contribution of each component of DynaTree, from a chain to the full method.",
    ),
    "pruning": Entry(
        ("summary/pruning.csv",),
        SETTINGS,
        "Fixed trees with and without pruning of improbable paths.",
    ),
    "sensitivity": Entry(
        ("summary/sensitivity.csv",),
        SETTINGS,
        "Sensitivity of the speed-up to thresholds, branch bounds and depths.",
    ),
    "length": Entry(
        ("summary/length.csv",),
        SCALING,
        "Speed-up by number of new tokens. The baselines use their tuned settings.",
    ),
    "prompt_length": Entry(
        ("summary/prompt_length.csv",),
        SCALING,
        "Speed-up by prompt length.",
    ),
    "dtypes": Entry(
        ("summary/dtypes.csv",),
        SCALING,
        "Throughput and speed-up by number format.",
    ),
}
