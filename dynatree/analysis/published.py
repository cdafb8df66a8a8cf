"""Claims, margins and published numbers, checked before anything is computed.

The Snakefile imports this module, so it imports only modules that load quickly.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dynatree.analysis.names import CASES, COMMON, DATASETS, FACTORS, LIMITS, QUANTITIES
from dynatree.errors import DynatreeError

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
ORIGINAL, DUPLICATE, FOREIGN = "original", "duplicate", "foreign"  # only the first counts
STANDINGS = (ORIGINAL, DUPLICATE, FOREIGN)
METHODS = ("autoregressive", "chain", "fixed_tree", "dynatree")
KEYS = ["dataset", "method", "metric"]


@dataclass(frozen=True)
class Margins:
    """Thresholds of the verdicts, frozen in the file of claims.

    Attributes:
        times: largest ratio of times or of work without practical importance, as a share.
        counts: the same for ratios of counts.
        shares: the same for differences of shares.
        discovery_rate: false-discovery rate over the ledger.
    """

    times: float
    counts: float
    shares: float
    discovery_rate: float


class Metric(NamedTuple):
    """A quantity of our summary and its name in ``results/published/main.csv``."""

    ours: str
    published: str
    title: str
    decimals: int
    scale: float = 1


METRICS = (
    Metric("throughput", "throughput", "Tokens/s", 1),
    Metric("speedup", "speedup", "Speed-up", 2),
    Metric("tokens_per_round", "tokens_per_iteration_Lbar", "Tokens per round", 2),
    Metric("rounds", "num_iterations", "Rounds per request", 0),
    Metric("published_acceptance", "acceptance_rate", r"Acceptance by the published formula, \%", 1, scale=100),
    Metric("ttft_ms", "ttft_ms", "TTFT, ms", 1),
    Metric("tpot_ms", "tpot_ms", "TPOT, ms", 2),
)


def check_published(path: Path) -> None:
    """Raise a DynatreeError that names the first missing number that the reproduction needs."""
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
            known = {(row[KEYS[0]], row[KEYS[1]], row[KEYS[2]]): float(row["value"]) for row in rows}
    except (OSError, KeyError, ValueError) as error:
        raise DynatreeError(f"cannot read published numbers from {path}: {error!r}; restore the file") from error
    for dataset in DATASETS:
        for case in METHODS:
            for metric in METRICS:
                if applies(case, metric):
                    published_number(dataset, case, metric, known)


def applies(case: str, metric: Metric) -> bool:
    """Return True if a case has a metric."""
    return metric.ours != "published_acceptance" or case != "autoregressive"


def published_number(dataset: str, case: str, metric: Metric, known: dict[tuple[str, str, str], float]) -> float:
    """Return the published value of a metric.

    Raises:
        DynatreeError: it is missing.
    """
    value = known.get((dataset, case, metric.published), math.nan)
    if math.isnan(value):
        raise DynatreeError(
            f"the published {metric.published} of {case} on {dataset} is missing; add it to results/published/main.csv"
        )
    return float(value)


def load_margins(path: Path) -> Margins:
    """Read the margins in a file of claims.

    Raises:
        DynatreeError: a margin is missing or no share.
    """
    content: Any = _read(path).get("margins")
    names = set(Margins.__dataclass_fields__)
    _keys(content, f"{path}: margins", names)
    for name in names:
        _require(_is_number(content[name]) and 0 < content[name] < 1, f"{path}: margins/{name} must be a share")
    return Margins(**content)


def _read(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DynatreeError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def load_claims(path: Path) -> list[dict]:
    """Read and check a file of claims.

    Raises:
        DynatreeError: the file is not YAML, or a claim is incomplete or names something that does not exist; the
            message has the file, the claim and the mistake.
    """
    claims = _read(path).get("claims")
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


def _keys(mapping: Any, what: str, required: set, optional: set | frozenset = frozenset()) -> None:
    _require(isinstance(mapping, dict), f"{what} must be a mapping")
    missing, unknown = sorted(required - set(mapping)), sorted(set(mapping) - required - optional)
    _require(not missing, f"{what} lacks {', '.join(missing)}")
    _require(not unknown, f"{what} has the unknown key {', '.join(unknown)}")


def _one_of(value: object, known, what: str) -> None:
    _require(value in list(known), f"{what} {value!r} is unknown; known are {', '.join(map(str, known))}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(claim: Any) -> None:
    _keys(claim, "the claim", {"id", "text", "source", "published", "predicate"}, {"requires", "standing"})
    for key in ("id", "text", "source"):
        _require(isinstance(claim[key], str) and claim[key].strip(), f"{key} must be text")
    _one_of(claim.get("standing", ORIGINAL), STANDINGS, "standing")
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


def _check_predicate(predicate: Any) -> None:
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


def _check_choice(choice: Any, what: str, experiment: str, columns: list[str]) -> None:
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
