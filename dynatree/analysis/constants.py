"""The constants of the cost-aware policy, read from its source code so that the paper lists all of them."""

import ast
from typing import Any

from dynatree.policies.registry import policy_options
from dynatree.utils.paths import repository_path

MODULES = (
    "policies/cost_aware",
    "policies/calibration",
    "policies/source_account",
    "policies/host_costs",
    "drafting/lookup",
    "drafting/lookup_sources",
    "drafting/memory",
    "drafting/hybrid",
    "latency/cost_model",
)
METHOD = "cost_aware"


def constants() -> dict[str, dict[str, Any]]:
    """Return the numeric constants by module, and the default options of the policy under its name."""
    options = {name: parameter.default for name, parameter in policy_options(METHOD).items()}
    found: dict[str, dict[str, Any]] = {METHOD: {name: _shown(value) for name, value in options.items()}}
    for module in MODULES:
        tree = ast.parse(repository_path(f"dynatree/{module}.py").read_text())
        values = [pair for node in tree.body if isinstance(node, ast.Assign) for pair in _assigned(node)]
        found[module] = {name: _shown(value) for name, value in values if _numeric(value)}
    return {module: values for module, values in found.items() if values}


def _assigned(node: ast.Assign) -> list[tuple[str, Any]]:
    """Return the names in capitals that a statement sets to literals."""
    try:
        value = ast.literal_eval(node.value)
    except ValueError:
        return []
    target = node.targets[0]
    names = [
        name.id for name in (target.elts if isinstance(target, ast.Tuple) else [target]) if isinstance(name, ast.Name)
    ]
    values = value if len(names) > 1 else [value]
    return [(name, one) for name, one in zip(names, values, strict=True) if name.isupper()]


def _numeric(value: Any) -> bool:
    return all(isinstance(one, int | float) for one in (value if isinstance(value, tuple) else (value,)))


def _shown(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else value
