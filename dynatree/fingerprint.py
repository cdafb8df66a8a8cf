"""A fingerprint of the code that a script really uses.

Snakemake sees that a rule's command changes, but not that a module imported by its script did. The fingerprint is a
hash over the script and every module of this repository it imports, directly or not, without comments, docstrings
and layout. Imports made at run time under computed names are not seen; this project has none.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "dynatree"


@cache
def code_hash(script: str, root: Path = ROOT) -> str:
    """Fingerprint of ``script`` (a path below ``root``) and of all it imports from the package: 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(import_closure(root / script, root)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + normalised(path).encode() + b"\0")
    return digest.hexdigest()[:16]


def import_closure(script: Path, root: Path = ROOT) -> set[Path]:
    """The script and every file of the package that importing it executes."""
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imported_files(path, root)
    return seen


def normalised(path: Path) -> str:
    """The syntax of a source file, printed without comments, docstrings and layout."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _imported_files(path: Path, root: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _files_of(name, root)


def _files_of(module: str, root: Path) -> Iterator[Path]:
    """Files executed by ``import module``: the package's ``__init__`` files on the way and the module itself."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return
    for length in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:length])
        yield from (p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file())
    yield from _lazy_home(parts, root)


def _lazy_home(parts: list[str], root: Path) -> Iterator[Path]:
    """The module behind a public name that ``dynatree/__init__.py`` loads lazily."""
    if len(parts) == 2:
        for node in ast.walk(ast.parse((root / PACKAGE / "__init__.py").read_text())):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == parts[1]:
                        yield from _files_of(value.value, root)
