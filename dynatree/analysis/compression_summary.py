"""Summaries of measured KV-cache compression."""

import numpy as np
import pandas as pd

from dynatree.analysis.inference import geometric_mean, interval
from dynatree.config.compression_grid import FULL_CACHE
from dynatree.utils.units import MIB


def compression_requests(measured: list[dict]) -> pd.DataFrame:
    """Return one row per text and case, and one per timed request, for the claims.

    Args:
        measured: measurements of each data set: "dataset", "stands_for", the "job", and "texts", "generation" and
            "passkey" as lists of rows.

    Returns:
        Columns "job", "baseline", "dataset", "stands_for", "model", "group" ("reading" or "generation"), "case",
        "method" (the series of a case), "engine", "dtype", "budget", "prompt", "article",
        "sitting", "repetition", "tokens", "chunk",
        "prompt_tokens", "new_tokens", and the measured quantities.
    """
    return pd.concat([_of_dataset(one) for one in measured], ignore_index=True)


def _of_dataset(one: dict) -> pd.DataFrame:
    job = one["job"]
    texts = pd.DataFrame(one["texts"]).drop(columns="growth").assign(group="reading", repetition=0)
    parts = [
        _with_cases(texts.assign(perplexity=np.exp(texts["nll"])), job["cases"]),
        _with_cases(_timed(one["generation"], job["generation"]["new_tokens"]), job["generation_cases"]),
    ]
    names = {
        "job": f"compression-{one['dataset']}",
        "baseline": "one session",
        "dataset": one["dataset"],
        "stands_for": one["stands_for"],
        "engine": "kvcompress",
        **{name: job[name] for name in ("model", "dtype", "tokens", "chunk")},
        **{name: job["generation"][name] for name in ("prompt_tokens", "new_tokens")},
    }
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(article=rows["prompt"], sitting=0, work_throughput=np.nan, **names)


def _timed(generation: list[dict], new_tokens: int) -> pd.DataFrame:
    rows = pd.DataFrame(generation).rename(columns={"cache_bytes": "generation_bytes"})
    further = rows["seconds"] - rows["ttft"]
    return rows.assign(
        group="generation",
        throughput=new_tokens / rows["seconds"],
        ttft_ms=1000 * rows["ttft"],
        tpot_ms=1000 * further / (new_tokens - 1),
    ).drop(columns=["tokens", "seconds", "ttft"])


def summarize_compression(requests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set and case, with 95 % intervals over texts.

    Returns:
        "perplexity", "accuracy", "ttft_ms", "tpot_ms", "throughput" with "_low" and "_high"; "perplexity_ratio",
        "ttft_ratio", "tpot_ratio" and "throughput_ratio" to the full cache, paired by text; "accuracy_change"; the
        maximum of "rows", "cache_mib" and "peak_mib"; the mean of "mean_rows".
    """
    rows = []
    for _, of_dataset in requests.groupby("dataset", sort=False):
        full = of_dataset[of_dataset["case"] == FULL_CACHE]
        for _, part in of_dataset.groupby("case", sort=False):
            rows.append(_summary(part, full))
    return pd.DataFrame(rows)


def _summary(part: pd.DataFrame, full: pd.DataFrame) -> dict:
    kept = (
        "dataset",
        "stands_for",
        "model",
        "case",
        "method",
        "budget",
        "tokens",
        "chunk",
        "prompt_tokens",
        "new_tokens",
    )
    found = {name: part[name].iloc[0] for name in kept}
    found["texts"] = part["prompt"].nunique()
    for name, statistic in (
        ("perplexity", geometric_mean),
        ("accuracy", np.mean),
        ("ttft_ms", np.mean),
        ("tpot_ms", np.mean),
        ("throughput", np.mean),
    ):
        found |= _bounded(name, _by_text(part, name), statistic)
    for name, quantity in (
        ("perplexity_ratio", "perplexity"),
        ("ttft_ratio", "ttft_ms"),
        ("tpot_ratio", "tpot_ms"),
        ("throughput_ratio", "throughput"),
    ):
        found |= _bounded(name, _by_text(part, quantity) / _by_text(full, quantity), geometric_mean)
    found |= _bounded("accuracy_change", _by_text(part, "accuracy") - _by_text(full, "accuracy"), np.mean)
    return found | {
        "rows": part["rows"].max(),
        "mean_rows": part["mean_rows"].mean(),
        "cache_mib": part["cache_bytes"].max() / MIB,
        "generation_cache_mib": part["generation_bytes"].max() / MIB,
        "peak_mib": part["peak_bytes"].max() / MIB,
    }


def _by_text(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return a quantity of each text; repetitions count once, by their median."""
    return rows.groupby("prompt")[name].median()


def _bounded(name: str, values: pd.Series, statistic) -> dict:
    known = values.dropna().to_numpy()
    found = interval(known, statistic) if len(known) else (np.nan,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def summarize_passkey(measured: list[dict]) -> pd.DataFrame:
    """Return one row per case, length and depth: the numbers "asked" for, the numbers "found", and the "share"."""
    asked = next(one for one in measured if one["passkey"])
    answers = pd.DataFrame(asked["passkey"])
    found = answers.groupby(["case", "length", "depth"], sort=False)["found"].agg(asked="size", found="sum")
    found = found.reset_index().assign(share=lambda frame: frame["found"] / frame["asked"])
    return _with_cases(found, asked["job"]["passkey_cases"])


def _with_cases(frame: pd.DataFrame, cases: dict[str, dict]) -> pd.DataFrame:
    """Return ``frame`` with the columns "method" (the series of a case) and "budget"."""
    columns = {"method": "series", "budget": "budget"}
    return frame.assign(
        **{
            name: frame["case"].map({case: known[key] for case, known in cases.items()})
            for name, key in columns.items()
        }
    )


def cache_growth(measured: list[dict]) -> pd.DataFrame:
    """Return the size of the cache while reading the first text of the first data set.

    Returns:
        One row per case and forward pass: tokens "seen", and "cache_mib" after the forward pass.
    """
    one = measured[0]
    rows = [
        {"dataset": one["dataset"], "case": text["case"], "seen": seen, "cache_mib": size / MIB}
        for text in one["texts"]
        for seen, size in text["growth"]
    ]
    return _with_cases(pd.DataFrame(rows), one["job"]["cases"])
