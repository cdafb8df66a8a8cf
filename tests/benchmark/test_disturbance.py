"""The rule that flags disturbed requests, on requests slowed down as an audit of a run found them."""

import random

import pytest

from dynatree.benchmark.disturbance import Disturbance, disturbances
from dynatree.benchmark.host_load import read_host, since
from dynatree.benchmark.records import Record
from dynatree.config.jobs import DisturbanceRule

RULE = DisturbanceRule()
NOISE = 0.047  # robust standard deviation of the residuals of that run
PEERS = ["autoregressive", "hf_generate", "hf_assisted", "assisted-2", "hf_prompt_lookup", "chain", "fixed_tree"]
PEERS += ["dynatree", "cost_aware_ngram", "cost_aware_recycling", "cost_aware_model", "cost_aware", "hf_assisted_3"]
SWEEP = [
    "autoregressive",
    "chain-1",
    "chain-2",
    "chain-3",
    *(f"tree-{d}-{b}-{t}" for d in (2, 3, 4) for b in (2, 3) for t in (0.05, 0.2)),
]
ENCYCLOPAEDIC = ("velodrome", "peat", "sundial")
# (job, group, prompt, case): factor of the seconds per forward pass, factor of the time to the first token
DISTURBED = {
    ("peers-narrative", "16", "toll-house", "chain"): (10.1, 1),
    ("peers-encyclopaedic", "64", "peat", "autoregressive"): (3.8, 1),
    ("peers-encyclopaedic", "16", "peat", "cost_aware_ngram"): (1, 22),
    ("peers-encyclopaedic", "64", "velodrome", "cost_aware_recycling"): (2.2, 1),
    ("peers-encyclopaedic", "64", "velodrome", "assisted-2"): (1.6, 1),
    ("peers-encyclopaedic", "64", "sundial", "cost_aware_model"): (1.8, 1),
    ("peers-encyclopaedic", "64", "sundial", "cost_aware"): (1.8, 2),
    ("peers-narrative", "64", "toll-house", "hf_generate"): (1.7, 1),
    ("peers-encyclopaedic", "16", "sundial", "hf_assisted"): (1, 2.0),
    # with two prompts, half of the logarithm of a slow-down remains beside the fit of the case
    ("sweep-narrative", "all", "music-lesson", "tree-3-3-0.2"): (8.9, 1),
    ("sweep-narrative", "all", "music-lesson", "chain-3"): (5.8, 1),
    ("sweep-narrative", "all", "winter-journey", "chain-2"): (2.2, 1),
}


def record(prompt: str, group: str, case: str, per_pass: float, ttft: float, share: float = 1.9) -> Record:
    total = ttft + 20 * per_pass
    return Record(
        session="s", baseline="s", prompt=prompt, article=prompt, prompt_tokens=50, prompt_sha256="", group=group,
        case=case,
        repetition=0, order=0, tokens=[1] * 21, divergence=None, margin=None, seconds={"total": total, "ttft": ttft},
        rounds=20, draft_forwards=None, verified=None, accepted=None, drafted_depth=None, draft_rows=None, time="",
        host={"cpu": share * total, "switches": 0.0, "pressure": None, "steal": None}, passes={},
    )  # fmt: skip


def audited(seed: int) -> dict[str, list[tuple[tuple, Record]]]:
    """The requests of a run of 574: job -> identity and record."""
    draw = random.Random(seed)
    jobs = {
        "peers-encyclopaedic": (("16", "64"), ENCYCLOPAEDIC, PEERS),
        "peers-narrative": (("16", "64"), ("toll-house", "apprentice", "inheritance"), PEERS),
        "sweep-encyclopaedic": (("all",), ("expedition", "enamel"), SWEEP),
        "sweep-narrative": (("all",), ("winter-journey", "music-lesson"), SWEEP),
        "rest": (("a", "b"), tuple(f"p{number}" for number in range(6)), PEERS + SWEEP),
    }
    found: dict[str, list[tuple[tuple, Record]]] = {}
    for job, (groups, prompts, cases) in jobs.items():
        for group in groups:
            pace = {prompt: draw.gauss(0, 0.3) for prompt in prompts}
            for case in cases:
                own = draw.gauss(0, 0.3)
                for prompt in prompts:
                    key = (job, group, prompt, case)
                    slow, late = DISTURBED.get(key, (1, 1))
                    noise = [draw.gauss(0, NOISE) * (key not in DISTURBED) for _ in range(2)]  # the factors include it
                    per_pass = 0.044 * slow * 2.718 ** (own + pace[prompt] + noise[0])
                    ttft = 0.15 * late * 2.718 ** (pace[prompt] + noise[1])
                    found.setdefault(job, []).append((key, record(prompt, group, case, per_pass, ttft)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_twelve_disturbed_requests_of_the_audit_are_flagged_and_hardly_any_other(seed):
    flagged, total = set(), 0
    for requests in audited(seed).values():
        keys, records = zip(*requests, strict=True)
        total += len(records)
        flagged |= {key for key, one in zip(keys, disturbances(list(records), "cpu"), strict=True) if one.breaks(RULE)}
    assert total >= 500
    assert set(DISTURBED) <= flagged
    assert len(flagged - set(DISTURBED)) <= 0.01 * total


def test_a_request_that_waits_for_the_processor_is_flagged_on_a_cpu():
    records = [record(prompt, "all", case, 0.05, 0.1) for prompt in "abcd" for case in "xyz"]
    records[5] = record("b", "all", "z", 0.05, 0.1, share=1.0)
    flags = [one.breaks(RULE) for one in disturbances(records, "cpu")]
    assert flags.index(True) == 5 and sum(flags) == 1
    assert not any(one.breaks(RULE) for one in disturbances(records, "cuda:0"))


def test_requests_without_a_round_have_no_slow_down():
    alone = record("a", "all", "x", 0.05, 0.1)
    alone.rounds = 0
    assert disturbances([alone], "cpu") == [Disturbance(1.0, pytest.approx(1.0), 1.0)]


def test_the_host_is_read_and_missing_reports_are_none(monkeypatch, tmp_path):
    before = read_host()
    sum(range(10**6))
    spent = since(before)
    assert spent["cpu"] > 0 and spent["switches"] >= 0
    monkeypatch.setattr("dynatree.benchmark.host_load.PRESSURE", tmp_path / "none")
    monkeypatch.setattr("dynatree.benchmark.host_load.STATISTICS", tmp_path / "none")
    assert since(before)["pressure"] is None and since(before)["steal"] is None
