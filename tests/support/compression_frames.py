"""Made-up measurements of cache compression, with the shape of the real ones."""

import math

import numpy as np
import pandas as pd

from dynatree.analysis.compression_summary import (
    cache_growth,
    compression_requests,
    summarize_compression,
    summarize_passkey,
)
from dynatree.config.compression_grid import compression_job

LOSS = {"full": 0.0, "sliding_window": 0.9, "streaming_llm": 0.05, "l2_norm_recent": 0.3, "head_aware": 0.02}
TEXTS = 6
ROW_BYTES = 1000


def compression_measured(config: dict, texts: int = TEXTS, dataset: str | None = None) -> dict:
    """What measuring one data set of ``config`` writes; the loss of a method shrinks with its budget."""
    dataset = dataset or config["compression"]["datasets"][0]
    job = compression_job(config, dataset)
    rng = np.random.default_rng(1)
    bases = rng.normal(3, 0.2, texts)
    return {
        "dataset": dataset,
        "stands_for": "PG-19",
        "source": "made up",
        "job": job,
        "environment": {},
        "texts": [
            _text(key, case, number, base, job["tokens"], job["chunk"])
            for number, base in enumerate(bases)
            for key, case in job["cases"].items()
        ],
        "generation": [
            _generated(key, number, job["generation"]["new_tokens"])
            for number in range(texts)
            for key in job["generation_cases"]
        ],
        "passkey": [
            {"case": key, "length": length, "depth": depth, "number": number, "key": "12345", "answer": "12345"}
            | {"found": key == "full" or depth > 0.8}
            for length in job["passkey"]["lengths"]
            for depth in job["passkey"]["depths"]
            for number in range(job["passkey"]["count"])
            for key in job["passkey_cases"]
        ],
    }


def _text(key: str, case: dict, number: int, base: float, tokens: int, chunk: int) -> dict:
    rows = tokens if key == "full" else case["budget"] or tokens // 2
    loss = LOSS.get(case["series"], 0.1) * 20 / rows
    seen = [*range(chunk, tokens, chunk), tokens]
    growth = [[length, ROW_BYTES * min(length, rows)] for length in seen]
    return {
        "case": key,
        "prompt": f"p{number}",
        "nll": base + loss * (1 + number / 20),
        "accuracy": 0.5 - loss / 10,
        "rows": rows,
        "mean_rows": float(rows),
        "cache_bytes": ROW_BYTES * rows,
        "growth": growth if number == 0 else [],
    }


def _generated(key: str, number: int, new_tokens: int) -> dict:
    pace = 1.0 if key == "full" else 1.1 + number / 100
    found = {"case": key, "prompt": f"p{number}", "repetition": 0, "tokens": [1] * new_tokens, "cache_bytes": 5000}
    seconds = {"ttft": 0.5 * pace, "seconds": pace * (0.5 + 0.05 * (new_tokens - 1))}
    return found | seconds | ({"peak_bytes": 10**6} if number == 0 else {})


def compression_frames(measured: dict) -> dict[str, pd.DataFrame]:
    """What the rule that summarizes writes: "compression", "cache_growth" and "passkey"."""
    return {
        "compression": summarize_compression(compression_requests([measured])),
        "cache_growth": cache_growth([measured]),
        "passkey": summarize_passkey([measured]),
    }


def perplexity(measured: dict, case: str) -> float:
    """The geometric mean of the perplexities of a case."""
    values = [row["nll"] for row in measured["texts"] if row["case"] == case]
    return math.exp(sum(values) / len(values))
