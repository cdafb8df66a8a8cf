"""The claims of the original paper, and what a run has to say about each of them.

A claim in ``config/claims.yaml`` is a text, where the paper makes it, the published number, and a predicate that
:mod:`dynatree.analysis.predicates` holds against a run. ``requires`` names what a run must have for the number to be
comparable at all; a run that lacks it leaves the claim inconclusive and says so.
"""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import yaml

from dynatree.analysis.latex import escape
from dynatree.analysis.predicates import INCONCLUSIVE, LIMITS, Finding, evaluate
from dynatree.analysis.selection import NotMeasured
from dynatree.analysis.vocabulary import CASES, COMMON, DATASETS, FACTORS, QUANTITIES
from dynatree.errors import DynatreeError

COLUMNS = ("id", "text", "source", "published", "what", "value", "low", "high", "verdict", "reason")
ONLY = "Only a run"  # how the reason begins where a run cannot judge a claim at all
PUBLISHED_PAIR = {"target": "pythia-2.8b", "draft": "pythia-70m"}
REQUIREMENTS = {"device": ["cuda"], "models": ["published"]}
PREDICATES = {  # kind -> required keys, optional keys, has a limit
    "ratio": ({"experiment", "quantity", "of", "over"}, {"dataset", "across"}, True),
    "difference": ({"experiment", "quantity", "of", "over"}, {"dataset", "across"}, True),
    "every": ({"experiment", "quantity", "of", "over"}, {"dataset", "match"}, True),
    "value": ({"experiment", "quantity", "of"}, {"dataset"}, True),
    "memory": ({"quantity", "of"}, {"dataset"}, True),
    "best": ({"experiment", "quantity", "among", "is"}, {"dataset"}, False),
    "all": ({"experiment", "quantity", "of", "tie"}, {"dataset"}, False),
}
SPECIAL_QUANTITIES = {"memory": ("over_baseline",), "all": ("identical",)}


def load_claims(path: Path) -> list[dict]:
    """Read and check a file of claims.

    Raises:
        DynatreeError: the file is not YAML, or a claim is incomplete or names something that does not exist; the
            message has the file, the claim and the mistake.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DynatreeError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    claims = content.get("claims") if isinstance(content, dict) else None
    if not isinstance(claims, list) or not claims:
        raise DynatreeError(f"{path} must have a list under the key 'claims'")
    seen = set()
    for number, claim in enumerate(claims, start=1):
        name = claim.get("id") if isinstance(claim, dict) else None
        try:
            _check(claim)
            _require(name not in seen, "the id is used twice")
        except DynatreeError as mistake:
            raise DynatreeError(f"{path}: claim {name or f'number {number}'}: {mistake}") from mistake
        seen.add(name)
    return claims


def _require(condition: object, message: str) -> None:
    if not condition:
        raise DynatreeError(message)


def _keys(mapping: object, what: str, required: set, optional: set = frozenset()) -> None:
    _require(isinstance(mapping, dict), f"{what} must be a mapping")
    missing, unknown = sorted(required - set(mapping)), sorted(set(mapping) - required - optional)
    _require(not missing, f"{what} lacks {', '.join(missing)}")
    _require(not unknown, f"{what} has the unknown key {', '.join(unknown)}")


def _one_of(value: object, known, what: str) -> None:
    _require(value in list(known), f"{what} {value!r} is unknown; known are {', '.join(map(str, known))}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(claim: object) -> None:
    _keys(claim, "the claim", {"id", "text", "source", "published", "predicate"}, {"requires"})
    for key in ("id", "text", "source"):
        _require(isinstance(claim[key], str) and claim[key].strip(), f"{key} must be text")
    published = claim["published"]
    if published is not None:
        _keys(published, "published", {"value", "what"})
        _require(_is_number(published["value"]), "published/value must be a number; write `published: null` for none")
    requires = claim.get("requires", {})
    _keys(requires, "requires", set(), {*REQUIREMENTS, "new_tokens"})
    for key in REQUIREMENTS.keys() & requires.keys():
        _one_of(requires[key], REQUIREMENTS[key], f"requires/{key}")
    _require(_is_number(requires.get("new_tokens", 1)), "requires/new_tokens must be a number")
    _check_predicate(claim["predicate"])


def _check_predicate(predicate: object) -> None:
    _require(isinstance(predicate, dict), "predicate must be a mapping")
    kind = predicate.get("kind")
    _one_of(kind, PREDICATES, "predicate/kind")
    required, optional, limited = PREDICATES[kind]
    _keys(predicate, "predicate", {"kind"} | required, optional | (set(LIMITS) if limited else set()))
    experiment = _experiment(predicate)
    _one_of(experiment, [*CASES, "all"] if kind == "all" else CASES, "predicate/experiment")
    _one_of(predicate["quantity"], SPECIAL_QUANTITIES.get(kind, QUANTITIES), "predicate/quantity")
    _one_of(predicate.get("dataset", DATASETS[0]), DATASETS, "predicate/dataset")
    _one_of(predicate.get("across", "groups"), ["groups"], "predicate/across")
    _require(_is_number(predicate.get("tie", 0)), "predicate/tie must be a number of logits")
    columns = [*COMMON, *FACTORS.get(experiment, ())]
    for key in ("of", "over", "among", "is"):
        if key in predicate:
            _check_choice(predicate[key], f"predicate/{key}", experiment, columns)
    for column in predicate.get("match", []):
        _one_of(column, columns, "predicate/match")
    if limited:
        _check_limit(predicate)


def _experiment(predicate: dict) -> str:
    return "memory" if predicate["kind"] == "memory" else predicate["experiment"]


def _check_choice(choice: object, what: str, experiment: str, columns: list[str]) -> None:
    if isinstance(choice, str):
        _one_of(choice, CASES.get(experiment, CASES["main"]), what)
        return
    _require(isinstance(choice, dict) and choice, f"{what} must be a case or a mapping of columns")
    for column, wanted in choice.items():
        _one_of(column, columns, f"{what}: column")
        if isinstance(wanted, dict):
            sides = {"above", "below"}
            right = len(wanted) == 1 and set(wanted) <= sides and all(map(_is_number, wanted.values()))
            _require(right, f"{what}/{column} must be a value, a list, or one of above, below with a number")


def _check_limit(predicate: dict) -> None:
    names = [name for name in LIMITS if name in predicate]
    _require(len(names) == 1, f"predicate needs exactly one of {', '.join(LIMITS)}")
    value = predicate[names[0]]
    if names[0] == "between":
        right = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
        _require(right, "predicate/between must be two numbers, the lower first")
    else:
        _require(_is_number(value), f"predicate/{names[0]} must be a number")


def describe_run(config: dict) -> dict:
    """What :func:`judge` has to know of a run: its device, its models, and whether they are those of the paper."""
    names = {}
    for role, model in config["models"].items():
        repository = model["source"].get("repository", model["name"])
        names[role] = repository.rsplit("/", 1)[-1].lower()
    labels = {role: model["label"] for role, model in config["models"].items()}
    return {"device": config["device"], "models": labels, "published_pair": names == PUBLISHED_PAIR}


def judge(
    claims: list[dict], requests: dict[str, pd.DataFrame], summaries: dict[str, pd.DataFrame], run: dict
) -> pd.DataFrame:
    """A verdict on each claim: one row each, with the columns COLUMNS.

    A claim is confirmed where the 95 % interval lies wholly on the claimed side, refuted where it lies wholly on the
    other, and inconclusive otherwise, or where the run cannot judge it.

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
        told = {key: claim[key] for key in ("id", "text", "source")}
        rows.append(told | {"published": published["value"], "what": published["what"]} | asdict(finding))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _judge(claim: dict, requests: dict, memory: pd.DataFrame | None, run: dict) -> Finding:
    predicate = claim["predicate"]
    try:
        finding = evaluate(predicate, requests, memory)
        here = f"Here the number is {finding.value:.4g} [{finding.low:.4g}, {finding.high:.4g}]."
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
    """What the run lacks of what a claim requires, as phrases that begin with "on" or "with"."""
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
    """The ledger as a longtable as wide as the text, with its caption and the label tab:claims."""
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{width}\textwidth}}" for width in WIDTHS)
    lines = [
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        r"\caption{The claims of the original, held against this run.}\label{tab:claims}\\",
        r"\toprule Claim & Published & This run & Verdict \\ \midrule \endfirsthead",
        r"\toprule Claim & Published & This run & Verdict \\ \midrule \endhead",
        r"\bottomrule \endfoot",
        *(" & ".join(_row(row)) + r" \\" for _, row in frame.iterrows()),
        r"\end{longtable}",
    ]
    return "\n".join(lines) + "\n"


WIDTHS = (0.48, 0.1, 0.18, 0.15)


def _row(row: pd.Series) -> list[str]:
    value, low, high = (_number(row[name]) for name in ("value", "low", "high"))
    ours = value if low == high else rf"{value} {{\scriptsize [{low}, {high}]}}"
    verdict = row["verdict"] + (r" {\scriptsize (needs another run)}" if row["reason"].startswith(ONLY) else "")
    claim = rf"{escape(row['text'])} {{\scriptsize ({escape(row['source'])})}}"
    return [claim, _number(row["published"]), ours, verdict]


def _number(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.4g}"
