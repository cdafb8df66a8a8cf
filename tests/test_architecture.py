"""The rules of docs/architecture.md that the imports of the package must keep."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

from dynatree.utils.paths import ROOT

PACKAGE = ROOT / "dynatree"
LAZY = {PACKAGE / "__init__.py", PACKAGE / "kvcompress/__init__.py"}  # they load public names on first use


def imported(path: Path) -> list[str]:
    """Return the names of the modules that a file imports, without those for type checkers alone."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in typing for inner in ast.walk(node)}
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in skipped:
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and id(node) not in skipped:
            names.append(node.module or "")
    return names


def test_no_folders_import_each_other_in_a_circle():
    graph = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        targets = {name.split(".")[1] for name in imported(path) if name.startswith("dynatree.")}
        graph[folder] |= targets - {folder}
    assert len(list(TopologicalSorter(graph).static_order())) >= 15  # raises CycleError


def test_the_package_never_imports_snakemake():
    assert not [path for path in PACKAGE.rglob("*.py") if any(name.startswith("snakemake") for name in imported(path))]


def test_packages_hold_a_docstring_only():
    for path in set(PACKAGE.rglob("__init__.py")) - LAZY:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), path
