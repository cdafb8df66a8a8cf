"""What reruns when something changes: the scenarios that the tests of the workflow establish."""

from collections.abc import Iterator
from pathlib import Path

import yaml

SCENARIOS = "tests/workflow/staleness.yaml"


def load(root: Path) -> dict:
    """The scenarios of the repository: the "rules", "sets" of them, changes of "code" and "other" changes."""
    return yaml.safe_load((root / SCENARIOS).read_text())


def expand(names: list[str], sets: dict[str, list[str]]) -> set[str]:
    """The rules that ``names`` stand for, sets within sets included."""
    return {rule for name in names for rule in (expand(sets[name], sets) if name in sets else [name])}


def reruns(scenario: dict, sets: dict[str, list[str]]) -> dict[str, list[str]]:
    """What reruns after a change: rule -> the only jobs of it that do, empty where the scenario does not tell."""
    parts = (scenario.get(part, []) for part in ("fingerprints", "then", "reruns"))
    names = expand([name for part in parts for name in part], sets)
    found = {name: scenario.get("only", {}).get(name, []) for name in names if " " not in name}
    for name in sorted(names - set(found)):
        rule, _, job = name.partition(" ")
        if rule not in names:
            found.setdefault(rule, []).append(job)
    return found


def markdown(content: dict) -> str:
    """Two tables, of changes of code and of others."""
    code = {f"{scenario['change']}: {_listed(scenario['files'])}": scenario for scenario in content["code"]}
    other = {scenario["change"]: scenario for scenario in content["other"]}
    return "\n".join([*_table("Code", code, content), "", *_table("Anything else", other, content), ""])


def _table(title: str, rows: dict[str, dict], content: dict) -> Iterator[str]:
    yield from (f"| {title} | Reruns |", "| --- | --- |")
    for change, scenario in rows.items():
        stale = reruns(scenario, content["sets"])
        rules = [_rule(rule, stale[rule]) for rule in content["rules"] if rule in stale]
        yield f"| {change} | {', '.join(rules) or 'nothing'} |"


def _rule(rule: str, jobs: list[str]) -> str:
    return f"`{rule}` ({', '.join(jobs)})" if jobs else f"`{rule}`"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
