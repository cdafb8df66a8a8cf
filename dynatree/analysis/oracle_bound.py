"""What the best tree size in hindsight would have reached, round by round.

The oracle is given the rounds as they were: each root, the candidates that were drafted for it, and the passes that
drafting them took. It knows which candidates the output confirms, and chooses how many to verify, none included, in
the policy's own order of falling path probability and within its budget. It cannot draft more, fewer or other
candidates, nor reorder them. Rounds are taken as independent: a round that emits more does not spare a later one. All
passes take what they take in the measured T(n), for the oracle and for what was attained alike; the oracle spends no
time outside the models.
"""

from collections.abc import Iterator

import pandas as pd

from dynatree.benchmark.records import Measurement
from dynatree.latency.cost_model import CostModel, predict

Choice = tuple[int, float, int]  # tokens emitted, seconds, nodes verified
Latencies = dict[str, CostModel]  # of "target" and "draft"


def latencies(frame: pd.DataFrame) -> Latencies:
    """Return the cost models of target and draft.

    Args:
        frame: output of ``scripts/measure_latency.py``; of several kinds of layers those of the run come last.
    """
    used = frame[frame["backend"] == frame["backend"].iloc[-1]]
    found = {}
    for role, rows in used.groupby("model"):
        seconds = rows.pivot(index="context", columns="new", values="ms") / 1e3
        found[role] = CostModel(tuple(seconds.columns), tuple(seconds.index), seconds.to_numpy().tolist())
    return found


def passes_after_prefill(trace: dict) -> dict[str, list[list[int]]]:
    """Return the forward passes of a trace's rounds, of the target and of the draft."""
    rounds = trace["rounds"]
    drafted = sum(draft_passes for *_, draft_passes in rounds)
    passes = trace["passes"]
    return {
        "target": passes["target"][len(passes["target"]) - len(rounds) :],
        "draft": passes["draft"][len(passes["draft"]) - drafted :],
    }


def best_sizes(rounds: list[list[Choice]]) -> list[Choice]:
    """The choice of each round for which all tokens over all seconds are the most.

    A ratio of sums is largest where, with that ratio as the price of a second, each round is worth the most
    (Dinkelbach, 1967). The price only rises, and ends after a few steps.

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
    """One row for each request whose policy chose among candidates.

    Tokens after the first, seconds of the passes after prefill and verified nodes, as attained and as the oracle would
    have it, and the recorded seconds outside the models.

    Args:
        measurements: of jobs with traces.
        times: times of passes on the machine that measured.
    """
    return pd.DataFrame([row for measurement in measurements for row in _rows(measurement, times)])


def _rows(measurement: Measurement, times: Latencies) -> Iterator[dict]:
    for record in measurement.records:
        if record.trace and record.trace["ranks"]:
            attained, rounds = choices(record.trace, times)
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


def choices(trace: dict, times: Latencies) -> tuple[list[Choice], list[list[Choice]]]:
    """What was chosen in each round of a trace, and what could have been.

    Of the sizes that emit equally many tokens only the smallest counts.
    """
    passes = passes_after_prefill(trace)
    drafting = iter(passes["draft"])
    attained, possible = [], []
    for (nodes, _, _, emitted, drafts), ranks, (_, context) in zip(
        trace["rounds"], trace["ranks"], passes["target"], strict=True
    ):
        spent = predict([next(drafting) for _ in range(drafts)], times["draft"])
        attained.append((emitted, spent + times["target"](nodes + 1, context), nodes))
        sizes = [0, *ranks]
        possible.append([(1 + hits, spent + times["target"](n + 1, context), n) for hits, n in enumerate(sizes)])
    return attained, possible


def with_shares(bounds: pd.DataFrame) -> pd.DataFrame:
    """Add the rates "attained" and "oracle", and the share of the oracle's rate that was attained.

    "share" counts the time outside the models against the attained rate, "chosen_share" does not.
    """
    oracle = bounds["oracle_tokens"] / bounds["oracle_s"]
    chosen = bounds["attained_tokens"] / bounds["attained_s"]
    attained = bounds["attained_tokens"] / (bounds["attained_s"] + bounds["other_s"])
    return bounds.assign(oracle=oracle, attained=attained, share=attained / oracle, chosen_share=chosen / oracle)
