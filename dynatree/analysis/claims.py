"""Verdicts of a run on the claims of the original paper.

A claim in ``config/claims.yaml`` has a text, its place in the paper, the published number, and a predicate that
:mod:`dynatree.analysis.predicates` evaluates on a run. ``requires`` lists the conditions under which the number is
comparable. ``standing`` takes duplicates and claims that are not the paper's out of the count.
"""

import math
from dataclasses import asdict

import pandas as pd

from dynatree.analysis.findings import Finding, limit
from dynatree.analysis.inference import MIN_TEST, benjamini_hochberg
from dynatree.analysis.latex import escape
from dynatree.analysis.names import CONFIRMED, EQUIVALENT, FAILS, FEW, HOLDS, NOT_HERE, REFUTED, VERDICTS
from dynatree.analysis.noise import Noise
from dynatree.analysis.predicates import evaluate
from dynatree.analysis.published import DUPLICATE, ORIGINAL, Margins
from dynatree.analysis.selection import NotMeasured
from dynatree.analysis.tables.booktabs import p_value
from dynatree.errors import DynatreeError

NUMBERS = ("value", "low", "high", "n", "p", "q", "margin", "spread", "work", "work_low", "work_high")
COLUMNS = ("id", "text", "source", "standing", "published", "what", *NUMBERS, "verdict", "reason")
ONLY = "Only a run"  # start of the reason if a run cannot judge a claim
PUBLISHED_PAIR = {"target": "pythia-2.8b", "draft": "pythia-70m"}


def describe_run(config: dict) -> dict:
    """Return what :func:`judge` needs of a run: its device, its models, and whether pair and texts are published."""
    names = {}
    for role, model in config["models"].items():
        repository = model["source"].get("repository", model["name"])
        names[role] = repository.rsplit("/", 1)[-1].lower()
    labels = {role: model["label"] for role, model in config["models"].items()}
    texts = all(prompts["source"]["kind"] != "file" for prompts in config["prompts"].values())
    pair = names == PUBLISHED_PAIR
    return {"device": config["device"], "models": labels, "published_pair": pair, "published": pair and texts}


def judge(
    claims: list[dict],
    requests: dict[str, pd.DataFrame],
    summaries: dict[str, pd.DataFrame],
    run: dict,
    margins: Margins,
) -> pd.DataFrame:
    """Return the verdict on each claim: one row each, with the columns COLUMNS.

    Args:
        claims: from :func:`load_claims`.
        requests: experiment -> one row per request.
        summaries: experiment -> one row per case; only "memory" is read.
        run: from :func:`describe_run`.
        margins: from :func:`load_margins`.
    """
    noise = Noise.of_run(requests)
    found = [_find(claim, requests, summaries.get("memory"), run, margins, noise) for claim in claims]
    tested = [math.nan if why or finding is None else finding.p for finding, why in found]
    standings = [claim.get("standing", ORIGINAL) for claim in claims]
    rows = []
    for claim, standing, (finding, why), p, q in zip(
        claims, standings, found, tested, _corrected(tested, standings), strict=True
    ):
        published = claim["published"] or {"value": math.nan, "what": ""}
        row = {key: claim[key] for key in ("id", "text", "source")}
        row |= {"standing": standing, "published": published["value"], "what": published["what"]}
        row |= dict.fromkeys(NUMBERS, math.nan) | {"q": q}
        if finding is not None:
            row |= {name: value for name, value in asdict(finding).items() if name in NUMBERS}
        row["p"] = p
        alpha = q if not math.isnan(q) else p  # deterministic and foreign claims are judged alone
        verdict, reason = (NOT_HERE, why) if why or finding is None else verdict_of(claim, finding, alpha, run, margins)
        rows.append(row | {"verdict": verdict, "reason": reason})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _corrected(tested: list[float], standings: list[str]) -> list[float]:
    """Return the q-values of claims; NaN for deterministic and foreign claims.

    The counted claims are the family. A duplicate gets the q-value that it would have if it joined the family, so its
    test is as strict as that of the claim that it repeats.
    """
    family = [p if p > 0 and one == ORIGINAL else math.nan for p, one in zip(tested, standings, strict=True)]
    found = benjamini_hochberg(family)
    for place, (p, standing) in enumerate(zip(tested, standings, strict=True)):
        if p > 0 and standing == DUPLICATE:
            found[place] = benjamini_hochberg([*family, p])[-1]
    return found


def counts(ledger: pd.DataFrame) -> dict:
    """Return what the paper states about the claims that count.

    Returns:
        "counted", "testable", "tests", "positive", "negative", "equivalent" and "few" as numbers; "spread": the largest
        spread of the A/A pairs, NaN without a ratio of times; "verdicts": verdict -> ids.
    """
    counted = ledger[ledger["standing"] == ORIGINAL]
    found = {verdict: counted.loc[counted["verdict"] == verdict, "id"].tolist() for verdict in VERDICTS}
    return {
        "counted": len(counted),
        "testable": len(counted) - len(found[NOT_HERE]),
        "tests": int(counted["q"].notna().sum()),
        "positive": len(found[CONFIRMED] + found[HOLDS]),
        "negative": len(found[REFUTED] + found[FAILS]),
        "equivalent": len(found[EQUIVALENT]),
        "few": len(found[FEW]),
        "spread": float(counted["spread"].max()),
        "verdicts": {verdict: ids for verdict, ids in found.items() if ids},
    }


def _find(
    claim: dict, requests: dict, memory: pd.DataFrame | None, run: dict, margins: Margins, noise: Noise
) -> tuple[Finding | None, str]:
    """Return the finding on a claim, if there is one, and the reason why the run cannot judge it, or an empty text."""
    predicate = claim["predicate"]
    try:
        finding, why = evaluate(predicate, requests, memory, margins, noise), ""
        here = f"The number of this run is {finding.value:.4g}."
    except NotMeasured as reason:
        finding, why = None, str(reason)
        here = why
    except DynatreeError as mistake:
        raise DynatreeError(f"claim {claim['id']}: {mistake}") from mistake
    frame = memory if predicate["kind"] == "memory" else requests.get(predicate["experiment"])
    needs = _unmet(claim.get("requires", {}), frame, run)
    if needs:
        used = f"this one has {' and '.join(map(str, run['models'].values()))} on {run['device']}"
        why = f"{ONLY} {', '.join(needs)} can judge this; {used}. {here}"
    return finding, why


def verdict_of(claim: dict, finding: Finding, alpha: float, run: dict, margins: Margins) -> tuple[str, str]:
    """Return the verdict on a finding and its reason as sentences."""
    shown = f"{finding.what[:1].upper()}{finding.what[1:]} is {finding.value:.4g}{_bounds(finding)}"
    shown = f"{shown} over {finding.n} article{'s' * (finding.n != 1)}; the claim is {limit(claim['predicate'])}."
    shown += f" {finding.note}" if finding.note else ""
    if finding.near:
        return EQUIVALENT, f"{shown} {_equivalence(finding)}"
    if math.isnan(finding.p):
        return FEW, f"{shown} A verdict needs at least {MIN_TEST} articles."
    if alpha > margins.discovery_rate:
        return FEW, f"{shown} The exact test does not separate it from the limit (q = {alpha:.3f})."
    if finding.blocked:
        return FEW, f"{shown} The test is significant, but {finding.blocked}."
    positive, negative = (CONFIRMED, REFUTED) if run["published"] else (HOLDS, FAILS)
    return (positive if finding.side > 0 else negative), f"{shown} Exact test: q = {alpha:.3g}."


def _equivalence(finding: Finding) -> str:
    if math.isnan(finding.work_low):
        return f"It is equivalent to the limit within {finding.margin:.3g}."
    work = f"The ratio of work is {finding.work:.4g} [{finding.work_low:.4g}, {finding.work_high:.4g}] at 90 %."
    return f"{work} It is equivalent to the limit within {finding.margin:.3g}, and the times do not contradict."


def _bounds(finding: Finding) -> str:
    return "" if math.isnan(finding.low) or finding.low == finding.high else f" [{finding.low:.4g}, {finding.high:.4g}]"


def _unmet(requires: dict, frame: pd.DataFrame | None, run: dict) -> list[str]:
    """Return the unmet requirements of a claim, as phrases that begin with "on" or "with"."""
    needs = []
    if "device" in requires and not str(run["device"]).startswith(requires["device"]):
        needs.append("on a CUDA GPU")
    if "models" in requires and not run["published_pair"]:
        needs.append("with the published pair of models")
    longest = 0 if frame is None or frame.empty else frame["new_tokens"].max()
    if longest < requires.get("new_tokens", 0):
        needs.append(f"with {requires['new_tokens']} new tokens a request")
    return needs


def claims_latex(frame: pd.DataFrame) -> str:
    """Return the ledger as a longtable of the text's width, with a caption and the label tab:claims."""
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{width}\textwidth}}" for width in COLUMN_WIDTHS)
    lines = [
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        r"\caption{Claims of the original paper with their verdicts in this run.}\label{tab:claims}\\",
        r"\toprule Claim & Published & This run & Work & $q$ & Verdict \\ \midrule \endfirsthead",
        r"\toprule Claim & Published & This run & Work & $q$ & Verdict \\ \midrule \endhead",
        r"\bottomrule \endfoot",
        *(" & ".join(_row(row)) + r" \\" for _, row in frame.iterrows()),
        r"\end{longtable}",
    ]
    return "\n".join(lines) + "\n"


UNCOUNTED = {"duplicate": "repeats another", "foreign": "not in the paper"}
COLUMN_WIDTHS = (0.35, 0.1, 0.16, 0.06, 0.06, 0.12)


def _row(row: pd.Series) -> list[str]:
    value, low, high = (_number(row[name]) for name in ("value", "low", "high"))
    ours = value if low == high or low == "--" else rf"{value} {{\scriptsize [{low}, {high}]}}"
    verdict = escape(row["verdict"])
    if row["reason"].startswith(ONLY):
        verdict += r" {\scriptsize (needs another run)}"
    if row["standing"] != ORIGINAL:
        verdict += rf" {{\scriptsize ({UNCOUNTED[row['standing']]}, not counted)}}"
    claim = rf"{escape(row['text'])} {{\scriptsize ({escape(row['source'])})}}"
    q = "--" if math.isnan(row["q"]) else p_value(row["q"])
    return [claim, _number(row["published"]), ours, _number(row["work"]), q, verdict]


def _number(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.4g}"
