"""Names in result files and in claims: experiments, cases, factor columns, quantities, limits, verdicts."""

from dynatree.config.compression_grid import FULL_CACHE
from dynatree.config.jobs import BASELINE

CONFIRMED, REFUTED, EQUIVALENT = "confirmed", "refuted", "equivalent within the margin"
FEW, NOT_HERE = "too few data", "not testable here"
HOLDS, FAILS = "holds here", "fails here"  # confirmed and refuted with other models or texts than the published ones
VERDICTS = CONFIRMED, REFUTED, HOLDS, FAILS, EQUIVALENT, FEW, NOT_HERE
DECIDED = CONFIRMED, REFUTED, HOLDS, FAILS, EQUIVALENT
DATASETS = ("WikiText-2", "PG-19")
AS_THERE = "_original"  # suffix of series that keep the first two layers uncompressed, as the original does
METHODS = (
    BASELINE,
    "hf_generate",
    "hf_assisted",
    "hf_assisted_fixed",
    "chain",
    "fixed_tree",
    "dynatree_static",
    "dynatree",
    "hf_prompt_lookup",
    "hf_static",
    "llama_cpp",
    "llama_cpp_ngram",
    "cost_aware_ngram",
    "cost_aware_recycling",
    "cost_aware_table",
    "cost_aware_model",
    "cost_aware",
)
CASES = {  # cases made from a grid are listed only if their key is fixed
    "main": METHODS,
    "sweep": (BASELINE,),
    "ablation": (BASELINE, "fixed", "breadth", "depth", "history", "fixed_deep", "breadth_deep"),
    "pruning": (BASELINE,),
    "sensitivity": (BASELINE, "fixed_tree"),
    "length": METHODS,
    "peers": METHODS,
    "prompt_length": METHODS,
    "draft_cache": METHODS,
    "dtypes": METHODS,
    "memory": METHODS,
    "compression": (FULL_CACHE, "head_aware", "streaming_matched"),
}
COMMON = ("case", "group", "method", "engine", "dtype")  # columns that identify rows of every experiment
FACTORS = {
    "main": (),
    "sweep": ("depth", "branch", "threshold"),
    "ablation": ("step", "setting"),
    "pruning": ("depth", "branch", "threshold"),
    "sensitivity": (
        "category",
        "setting",
        "high_confidence",
        "low_confidence",
        "min_branch",
        "max_branch",
        "base_depth",
        "max_depth",
    ),
    "length": (),
    "peers": (),
    "prompt_length": ("limit",),
    "draft_cache": ("limit", "policy", "cache", "budget"),
    "dtypes": (),
    "memory": (),
    "compression": ("budget",),
}
QUANTITIES = {  # their names in sentences
    "throughput": "throughput",
    "speedup": "speed-up",
    "ttft_ms": "time to the first token",
    "tpot_ms": "time per further token",
    "rounds": "rounds",
    "tokens_per_round": "tokens per round",
    "acceptance_rate": "acceptance rate",
    "draft_precision": "draft precision",
    "published_acceptance": "acceptance by the published formula",
    "draft_forwards_per_token": "draft forward passes per token",
    "verified_per_token": "verified nodes per token",
    "looping_share": "looping share",
    "perplexity": "perplexity",
    "accuracy": "next-token accuracy",
}
WORK = {  # times -> the same quantity by work
    "throughput": "work_throughput",
    "speedup": "work_speedup",
    "ttft_ms": "work_ttft_ms",
    "tpot_ms": "work_tpot_ms",
}
SHARES = ("acceptance_rate", "draft_precision", "published_acceptance", "looping_share", "accuracy")

LIMITS = ("above", "below", "at_least", "at_most", "between")
UPWARDS = ("above", "at_least")
