"""Verdicts of a run on the claims of the original paper.

A claim in ``config/claims.yaml`` has a text, its place in the paper, the published number, and a predicate that
:mod:`dynatree.analysis.predicates` evaluates on a run. ``requires`` lists the conditions under which the number is
comparable. If a run does not meet them, the claim is inconclusive and the reason names the missing condition.
"""

import math
from dataclasses import asdict, replace

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import INCONCLUSIVE
from dynatree.analysis.predicates import Finding, evaluate
from dynatree.analysis.selection import NotMeasured
from dynatree.errors import DynatreeError

COLUMNS = ("id", "text", "source", "published", "what", "value", "low", "high", "verdict", "reason")
ONLY = "Only a run"  # start of the reason if a run cannot judge a claim
PUBLISHED_PAIR = {"target": "pythia-2.8b", "draft": "pythia-70m"}


def describe_run(config: dict) -> dict:
    """Return what :func:`judge` needs of a run: its device, its models, and whether they are those of the paper."""
    names = {}
    for role, model in config["models"].items():
        repository = model["source"].get("repository", model["name"])
        names[role] = repository.rsplit("/", 1)[-1].lower()
    labels = {role: model["label"] for role, model in config["models"].items()}
    return {"device": config["device"], "models": labels, "published_pair": names == PUBLISHED_PAIR}


def judge(
    claims: list[dict], requests: dict[str, pd.DataFrame], summaries: dict[str, pd.DataFrame], run: dict
) -> pd.DataFrame:
    """Return the verdict on each claim: one row each, with the columns COLUMNS.

    A claim is confirmed if the 95 % interval lies entirely on the claimed side, and refuted if it lies entirely on the
    other side. It is inconclusive otherwise, and if the run cannot judge it.

    Args:
        claims: from :func:`load_claims`.
        requests: experiment -> one row per request.
        summaries: experiment -> one row per case; only "memory" is read.
        run: from :func:`describe_run`.
    """
    rows = []
    for claim in claims:
        try:
            finding = _judge(claim, requests, summaries.get("memory"), run)
        except DynatreeError as mistake:
            raise DynatreeError(f"claim {claim['id']}: {mistake}") from mistake
        published = claim["published"] or {"value": math.nan, "what": ""}
        stated = {key: claim[key] for key in ("id", "text", "source")}
        rows.append(stated | {"published": published["value"], "what": published["what"]} | asdict(finding))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _judge(claim: dict, requests: dict, memory: pd.DataFrame | None, run: dict) -> Finding:
    predicate = claim["predicate"]
    try:
        finding = evaluate(predicate, requests, memory)
        here = f"The number of this run is {finding.value:.4g} [{finding.low:.4g}, {finding.high:.4g}]."
    except NotMeasured as reason:
        finding = Finding(math.nan, math.nan, math.nan, INCONCLUSIVE, str(reason))
        here = str(reason)
    frame = memory if predicate["kind"] == "memory" else requests.get(predicate["experiment"])
    needs = _unmet(claim.get("requires", {}), frame, run)
    if not needs:
        return finding
    used = f"this one has {' and '.join(map(str, run['models'].values()))} on {run['device']}"
    reason = f"{ONLY} {', '.join(needs)} can judge this; {used}. {here}"
    return replace(finding, verdict=INCONCLUSIVE, reason=reason)


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
        r"\toprule Claim & Published & This run & Verdict \\ \midrule \endfirsthead",
        r"\toprule Claim & Published & This run & Verdict \\ \midrule \endhead",
        r"\bottomrule \endfoot",
        *(" & ".join(_row(row)) + r" \\" for _, row in frame.iterrows()),
        r"\end{longtable}",
    ]
    return "\n".join(lines) + "\n"


COLUMN_WIDTHS = (0.48, 0.1, 0.18, 0.15)


def _row(row: pd.Series) -> list[str]:
    value, low, high = (_number(row[name]) for name in ("value", "low", "high"))
    ours = value if low == high else rf"{value} {{\scriptsize [{low}, {high}]}}"
    verdict = row["verdict"] + (r" {\scriptsize (needs another run)}" if row["reason"].startswith(ONLY) else "")
    claim = rf"{escape(row['text'])} {{\scriptsize ({escape(row['source'])})}}"
    return [claim, _number(row["published"]), ours, verdict]


def _number(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.4g}"
