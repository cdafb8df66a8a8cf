"""The results of a benchmark: one row for each method and draft, and the recommendation."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from dynatree.analysis.inference import geometric_mean, interval
from dynatree.analysis.statistics import compare, paired_ratios
from dynatree.analysis.summary import per_request
from dynatree.benchmark.records import Measurement
from dynatree.config.jobs import BASELINE
from dynatree.user_bench.plan import CANDIDATES, code_of

UNITS = ["article", "prompt", "sitting"]


@dataclass(frozen=True)
class Row:
    """A method with one draft.

    Attributes:
        draft, method: name of the arm, and key of the method.
        prompts: prompts measured so far.
        speedup, low, high: geometric mean of the paired ratios of throughputs to plain decoding, and its 95 % interval.
        tokens_per_second, ttft_ms: medians over requests.
        tokens_per_round: emitted tokens per forward pass of the target after the prompt.
        draft_passes_per_token, verified_per_token: counts that do not depend on the machine; NaN where unknown.
        equal, outputs: outputs that equal plain decoding, and all outputs.
        margin: largest gap of a logit in other formats than float32; NaN in float32.
    """

    draft: str
    method: str
    prompts: int
    speedup: float
    low: float
    high: float
    tokens_per_second: float
    ttft_ms: float
    tokens_per_round: float
    draft_passes_per_token: float
    verified_per_token: float
    equal: int
    outputs: int
    margin: float

    @property
    def label(self) -> str:
        """Name of the method in tables."""
        return CANDIDATES[self.method].label

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value with None for NaN."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def rows_of(measurements: dict[str, Measurement]) -> list[Row]:
    """Return the rows of all arms, the fastest first.

    Args:
        measurements: name of the arm -> its records.
    """
    rows: list[Row] = []
    for draft, measurement in measurements.items():
        requests = per_request(draft, measurement)
        if requests.empty:
            continue
        for method, group in requests.groupby("case", sort=False):
            if draft != next(iter(measurements)) and method == BASELINE:
                continue  # one row of plain decoding is enough
            rows.append(_row(draft, str(method), requests, group))
    return sorted(rows, key=lambda row: (math.isnan(row.speedup), -row.speedup))


def _row(draft: str, method: str, requests: pd.DataFrame, group: pd.DataFrame) -> Row:
    ratio = compare(requests, method, BASELINE, "throughput")
    margins = pd.to_numeric(group["margin"]).max()
    tokens, rounds = group["new_tokens"].sum() - len(group), group["rounds"].sum()
    known = group["verified"].notna().all()
    return Row(
        draft=draft,
        method=method,
        prompts=int(group["prompt"].nunique()),
        speedup=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        tokens_per_second=float(group["throughput"].median()),
        ttft_ms=float(group["ttft_ms"].median()),
        tokens_per_round=float(tokens / rounds) if rounds else math.nan,
        draft_passes_per_token=float(group["draft_forwards"].sum() / group["new_tokens"].sum()),
        verified_per_token=float(group["verified"].sum() / group["new_tokens"].sum()) if known else math.nan,
        equal=int(group["identical"].sum()),
        outputs=len(group),
        margin=float(margins),
    )


@dataclass(frozen=True)
class Recommendation:
    """The answer of a benchmark.

    Attributes:
        row: the method to use.
        words: the answer in sentences.
        code: the line of Python that uses the method.
    """

    row: Row
    words: str
    code: str


def recommend(
    measurements: dict[str, Measurement], target: str, drafts: dict[str, str | None]
) -> Recommendation | None:
    """Return the fastest method whose speed-up is established, or plain decoding; None without a result.

    Args:
        measurements: name of the arm -> its records.
        target: folder or hub id of the target.
        drafts: name of the arm -> folder or hub id of its draft.
    """
    rows = rows_of(measurements)
    plain = next((row for row in rows if row.method == BASELINE), None)
    if plain is None:
        return None
    best = next((row for row in rows if row.method != BASELINE and row.low > 1), None)
    if best is None:
        words = "No method is established to be faster than plain decoding. Keep it, or measure more prompts."
        return Recommendation(plain, words, code_of(BASELINE, target, None))
    with_draft = "" if drafts.get(best.draft) is None else f" with the draft {best.draft}"
    words = (
        f"Use {best.label}{with_draft}: {best.speedup:.2f} times as fast as plain decoding "
        f"(95 % interval {best.low:.2f} to {best.high:.2f}, {best.prompts} prompts). {stamp(best)}"
    )
    equals = [_named(row) for row in rows if row is not best and row.low > 1 and _may_equal(measurements, row, best)]
    if equals:
        words += f" These data do not separate it from {', '.join(equals)}."
    return Recommendation(best, words, code_of(best.method, target, drafts.get(best.draft)))


def _named(row: Row) -> str:
    return f"{row.label} ({row.draft})"


def stamp(row: Row) -> str:
    """Return a sentence that says whether the outputs of a method are those of plain decoding."""
    if row.equal == row.outputs:
        return f"All {row.outputs} outputs equal those of plain decoding, token for token."
    if math.isnan(row.margin):
        return f"{row.equal} of {row.outputs} outputs equal those of plain decoding."
    return (
        f"{row.equal} of {row.outputs} outputs equal those of plain decoding; in the others, a token is at most "
        f"{row.margin:.2g} logits below the best one."
    )


def _may_equal(measurements: dict[str, Measurement], one: Row, other: Row) -> bool:
    """Return True unless the interval of the ratio of two speed-ups, paired by prompt, excludes 1."""
    ratios = (_speedups(measurements, row) for row in (one, other))
    first, second = ratios
    paired = (first / second).dropna()
    _, low, high = interval(paired.groupby("article").apply(geometric_mean), geometric_mean)
    return math.isnan(low) or low <= 1 <= high


def _speedups(measurements: dict[str, Measurement], row: Row) -> pd.Series:
    requests = per_request(row.draft, measurements[row.draft])
    ratios = paired_ratios(requests, row.method, BASELINE, "throughput")
    return ratios.reset_index(level=[name for name in ratios.index.names if name not in UNITS], drop=True)
