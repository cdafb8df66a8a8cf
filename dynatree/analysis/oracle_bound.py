"""Upper bound of throughput: the best tree size of every round in hindsight.

The oracle uses the recorded rounds: each root, its candidates, and the forward passes that drafted them. It knows
which candidates the output confirms. It chooses the number of candidates to verify (possibly none), in the policy's
order of descending path probability and within its budget. It cannot draft more, fewer or other candidates, and
cannot reorder them. Rounds are independent: a round that emits more tokens does not remove a later round. Forward
passes take the measured T(n), for the oracle and for the policy. The oracle spends no time outside the models.
"""

from collections.abc import Iterator
from itertools import islice

import pandas as pd

from dynatree.analysis.work import Latencies
from dynatree.benchmark.records import Measurement, Record
from dynatree.latency.cost_model import predict

Choice = tuple[int, float, int]  # tokens emitted, seconds, nodes verified


def passes_after_prefill(passes: dict[str, list[list[int]]], rounds: list[list[int]]) -> dict[str, list[list[int]]]:
    """Return the forward passes of the rounds of a trace, of the target and of the draft."""
    drafted = sum(draft_passes for *_, draft_passes in rounds)
    return {
        "target": passes["target"][len(passes["target"]) - len(rounds) :],
        "draft": passes["draft"][len(passes["draft"]) - drafted :],
    }


def best_sizes(rounds: list[list[Choice]]) -> list[Choice]:
    """Return the choice of each round that maximizes total tokens over total seconds.

    For a given price of a second, the best choice of each round is independent of the others. The price rises to the
    maximal ratio within a few steps (Dinkelbach, 1967).

    Args:
        rounds: the choices of each round, at least one.
    """
    chosen = [choices[0] for choices in rounds]
    while True:
        rate = _rate(chosen)
        better = [max(choices, key=lambda one: one[0] - rate * one[1]) for choices in rounds]
        if _rate(better) <= rate:
            return chosen
        chosen = better


def _rate(choices: list[Choice]) -> float:
    return sum(tokens for tokens, *_ in choices) / sum(seconds for _, seconds, _ in choices)


def bounds(measurements: list[Measurement], times: Latencies) -> pd.DataFrame:
    """Return one row per request whose policy chose among candidates.

    Rows hold tokens after the first, seconds of forward passes after prefill and verified nodes, both attained and for
    the oracle, and the recorded seconds outside the models.

    Args:
        measurements: of jobs with traces.
        times: cost models of the machine that measured.
    """
    return pd.DataFrame([row for measurement in measurements for row in _rows(measurement, times)])


def _rows(measurement: Measurement, times: Latencies) -> Iterator[dict]:
    for record in measurement.records:
        if record.trace and record.trace["ranks"]:
            attained, rounds = choices(record, times)
            oracle = best_sizes(rounds)
            yield {
                "dataset": measurement.job.dataset,
                "group": record.group,
                "case": record.case,
                "prompt": record.prompt,
                "repetition": record.repetition,
                "rounds": record.rounds,
                "other_s": record.seconds["other"],
                **_totals("attained", attained),
                **_totals("oracle", oracle),
            }


def _totals(name: str, chosen: list[Choice]) -> dict:
    sums = (sum(values) for values in zip(*chosen, strict=True))
    return {f"{name}_{unit}": total for unit, total in zip(("tokens", "s", "nodes"), sums, strict=True)}


def choices(record: Record, times: Latencies) -> tuple[list[Choice], list[list[Choice]]]:
    """Return the choice made in each round of a traced record, and the possible choices.

    Of the sizes that emit equally many tokens, only the smallest is listed.
    """
    assert record.trace is not None
    trace = record.trace
    passes = passes_after_prefill(record.passes, trace["rounds"])
    drafting = iter(passes["draft"])
    attained, possible = [], []
    for (nodes, _, _, emitted, drafts), ranks, (_, context) in zip(
        trace["rounds"], trace["ranks"], passes["target"], strict=True
    ):
        spent = predict([(new, cached) for new, cached in islice(drafting, drafts)], times["draft"])
        attained.append((emitted, spent + times["target"](nodes + 1, context), nodes))
        sizes = [0, *ranks]
        possible.append([(1 + hits, spent + times["target"](n + 1, context), n) for hits, n in enumerate(sizes)])
    return attained, possible


def with_shares(bounds: pd.DataFrame) -> pd.DataFrame:
    """Return ``bounds`` with the rates "attained" and "oracle", and the share of the oracle's rate that was attained.

    "share" includes the time outside the models in the attained rate, "chosen_share" excludes it.
    """
    oracle = bounds["oracle_tokens"] / bounds["oracle_s"]
    chosen = bounds["attained_tokens"] / bounds["attained_s"]
    attained = bounds["attained_tokens"] / (bounds["attained_s"] + bounds["other_s"])
    return bounds.assign(oracle=oracle, attained=attained, share=attained / oracle, chosen_share=chosen / oracle)
