"""Fingerprints of the code that a script uses, and the libraries that it imports.

Snakemake sees that a rule's command changes, but not that a module imported by its script did. A fingerprint is a
hash over the script and every module of this repository that it imports, directly or not. Comments, docstrings and
layout do not count, nor do modules that run scripts without changing their outputs (``CARRIERS``). The fingerprint is
the same under every minor version of Python.

The scripts ``table.py`` and ``figure.py`` import the module of a table or figure by name. Its fingerprint starts from
both files, so each table and figure has its own.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.paths import ROOT

PACKAGE = "dynatree"
LOCK = "envs/requirements.lock"
CARRIERS = {
    f"{PACKAGE}/{name}.py"
    for name in ("provenance/fingerprint", "provenance/notes", "utils/locks", "version", "workflow/script")
}
BY_NAME = {"table": "scripts/table.py", "figure": "scripts/figure.py"}  # scripts that import a module by its name
# Where the name of an import is not that of its distribution; each release of torch requires one of Triton.
DISTRIBUTIONS = {"yaml": "pyyaml", "triton": "torch"}
UNCOUNTED = {"ctx", "kind", "type_comment", "type_ignores"}  # fields of the syntax tree that say nothing, or vary


@cache
def code_hash(*starts: str, root: Path = ROOT) -> str:
    """Return the fingerprint of these files (paths below ``root``) and of all they import from the package.

    Returns:
        16 hex digits.
    """
    digest = hashlib.sha256()
    for path in sorted(import_closure(*starts, root=root)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + normalized(path).encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def libraries(*starts: str, root: Path = ROOT) -> str:
    """Return the pinned versions of the libraries that these files and their modules import.

    Returns:
        Text such as "numpy 2.4.6, torch 2.13.0".

    Raises:
        DynatreeError: an import is neither of the standard library nor pinned in the lock file.
    """
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (root / LOCK).read_text(), re.MULTILINE))
    versions = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    found = set()
    for path in import_closure(*starts, root=root):
        for module in _imported_modules(path):
            name = module.partition(".")[0]
            distribution = DISTRIBUTIONS.get(name, name).replace("_", "-")
            if distribution in versions:
                found.add(f"{distribution} {versions[distribution]}")
            elif name not in sys.stdlib_module_names and name != PACKAGE:
                raise DynatreeError(
                    f"{path} imports {name}, which {LOCK} does not pin; add it to pyproject.toml and lock"
                )
    return ", ".join(sorted(found))


def entry_points(root: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """Return each script, table and figure with the files from which its fingerprint starts.

    Returns:
        Name -> paths below ``root``. Names are "scripts/measure.py", "table NAME" or "figure NAME".
    """
    scripts = sorted(path.relative_to(root).as_posix() for path in (root / "scripts").rglob("*.py"))
    found: dict[str, tuple[str, ...]] = {script: (script,) for script in scripts if script not in BY_NAME.values()}
    for kind, script in BY_NAME.items():
        for path in sorted((root / PACKAGE / f"analysis/{kind}s").glob("*.py")):
            if f"\ndef {kind}(" in path.read_text():
                found[f"{kind} {path.stem}"] = (script, path.relative_to(root).as_posix())
    return found


def import_closure(*starts: str, root: Path = ROOT) -> set[Path]:
    """Return these files (paths below ``root``) and every counted file of the package that importing them executes."""
    seen: set[Path] = set()
    waiting = [root / start for start in starts]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.relative_to(root).as_posix() not in CARRIERS:
            seen.add(path)
            waiting += (file for module in _imported_modules(path) for file in _files_of(module, root))
    return seen


def normalized(path: Path) -> str:
    """Return the syntax of a source file as text, without comments, docstrings and layout."""
    return _read(path, *_version(path))[0]


def _imported_modules(path: Path) -> tuple[str, ...]:
    return _read(path, *_version(path))[1]


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1000)
def _read(path: Path, modified: int, size: int) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text())
    return _text(_stripped(tree)), tuple(_modules_of(tree, path))


def _stripped(tree: ast.Module) -> ast.Module:
    """Return the tree without docstrings."""
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.JoinedStr):  # some versions of Python put empty texts between its parts
            node.values = [value for value in node.values if getattr(value, "value", None) != ""]
    return tree


def _text(node) -> str:
    """Return a syntax tree as text. Empty fields are left out: later versions of Python add some."""
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if name not in UNCOUNTED)
    inner = ",".join(f"{name}={_text(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({inner})"


def _modules_of(tree: ast.Module, path: Path) -> Iterator[str]:
    type_only = _type_only(tree)
    for node in ast.walk(tree):
        if node in type_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise DynatreeError(
                f"{path}:{node.lineno}: a relative import, which fingerprints do not follow; name it whole"
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def _type_only(tree: ast.Module) -> set[ast.AST]:
    """Return the statements under ``if TYPE_CHECKING``, which never run."""
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    return {one for block in blocks if getattr(block.test, "id", None) == "TYPE_CHECKING" for one in block.body}


@cache
def _files_of(module: str, root: Path) -> tuple[Path, ...]:
    """Files executed by ``import module``: the package's ``__init__`` files on the way and the module itself."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return ()
    bases = [root.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    files = [path for base in bases for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return (*files, *_lazy_home(parts, root))


def _lazy_home(parts: list[str], root: Path) -> Iterator[Path]:
    """Return the module behind a public name that the ``__init__.py`` of a package loads lazily."""
    package = root.joinpath(*parts[:-1], "__init__.py")
    if package.is_file() and (home := _names_in(package, *_version(package)).get(parts[-1])):
        yield from _files_of(home, root)


@lru_cache(maxsize=100)
def _names_in(path: Path, modified: int, size: int) -> dict[str, str]:
    """Return the public names in ``_HOMES`` with their modules."""
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    homes = [node.value for node in assigned if getattr(node.targets[0], "id", None) == "_HOMES"]
    return {key: module for home in homes for key, module in ast.literal_eval(home).items()}
