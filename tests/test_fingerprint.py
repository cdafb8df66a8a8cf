"""What changes a fingerprint and what does not."""

import re
import shutil
from pathlib import Path

import pytest

from dynatree.fingerprint import ROOT, code_hash, import_closure

MEASURING = "scripts/benchmark.py"


@pytest.fixture
def copy(tmp_path) -> Path:
    for folder in ("dynatree", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def fingerprint(root: Path) -> str:
    code_hash.cache_clear()
    return code_hash(MEASURING, root)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_comments_docstrings_and_layout_do_not_count(copy):
    before = fingerprint(copy)
    edit(copy / "dynatree/tree.py", '"""Depth of the deepest node."""', '"""Other."""')
    edit(copy / "dynatree/decoding.py", "import time\n", "import time  # a remark\n\n\n")
    assert fingerprint(copy) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("dynatree/tree.py", "depth = self.depth + 1", "depth = self.depth + 2"),
        ("dynatree/policies/history.py", "<= 0.1", "<= 0.2"),
        ("dynatree/benchmark/protocol.py", "gc.disable()", "gc.freeze()"),
        ("dynatree/__init__.py", '"TreeCache": "dynatree.cache"', '"TreeCache": "dynatree.tree"'),
        (MEASURING, "exclusive=True", "exclusive=False"),
    ],
)
def test_every_imported_function_counts(copy, module, old, new):
    before = fingerprint(copy)
    edit(copy / module, old, new)
    assert fingerprint(copy) != before


@pytest.mark.parametrize(
    "module", ["dynatree/analysis/figures/main.py", "dynatree/cli.py", "dynatree/distillation/training.py"]
)
def test_code_that_a_measurement_does_not_use_does_not_count(copy, module):
    before = fingerprint(copy)
    (copy / module).write_text("nothing = 1\n")
    assert fingerprint(copy) == before


def test_figures_and_tables_import_no_torch():
    names = ("summarise", "summarise_memory", "choose_settings", "collect_facts", "judge_claims", "render_paper")
    scripts = [ROOT / f"scripts/{name}.py" for name in names]
    scripts += [path for kind in ("figures", "tables") for path in (ROOT / "scripts" / kind).glob("*.py")]
    assert len(scripts) > 30
    for path in set().union(*map(import_closure, scripts)):
        assert not re.search(r"import (torch|transformers)|from (torch|transformers)", path.read_text()), path


def test_every_figure_has_a_fingerprint_of_its_own(copy):
    before = {path.stem: hash_of(copy, path) for path in (copy / "scripts/figures").glob("*.py")}
    edit(copy / "dynatree/analysis/figures/memory.py", "def memory_figure(", "def memory_figure(*, ")
    after = {path.stem: hash_of(copy, path) for path in (copy / "scripts/figures").glob("*.py")}
    assert {name for name in before if before[name] != after[name]} == {"memory"}


def hash_of(root: Path, script: Path) -> str:
    code_hash.cache_clear()
    return code_hash(script.relative_to(root).as_posix(), root)


def test_lazy_names_are_followed(copy):
    (copy / "scripts/lazy.py").write_text("from dynatree import TokenTree\n")
    assert copy / "dynatree/tree.py" in import_closure(copy / "scripts/lazy.py", copy)
