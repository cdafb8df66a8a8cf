"""What changes a fingerprint and what does not."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dynatree.errors import DynatreeError
from dynatree.provenance.fingerprint import CARRIERS, code_hash, entry_points, import_closure, libraries, normalized
from dynatree.utils.paths import ROOT

MEASURING = "scripts/benchmark.py"


@pytest.fixture
def copy(tmp_path) -> Path:
    for folder in ("dynatree", "scripts", "envs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def fingerprint(root: Path) -> str:
    code_hash.cache_clear()
    return code_hash(MEASURING, root=root)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_comments_docstrings_and_layout_do_not_count(copy):
    before = fingerprint(copy)
    edit(copy / "dynatree/tree.py", '"""Depth of the deepest node."""', '"""Other."""')
    edit(copy / "dynatree/models/pair.py", "import time\n", "import time  # a remark\n\n\n")
    assert fingerprint(copy) == before


def test_imports_for_type_checkers_do_not_count(tmp_path):
    (tmp_path / "dynatree").mkdir()
    (tmp_path / "dynatree/__init__.py").touch()
    (tmp_path / "dynatree/errors.py").touch()
    script = tmp_path / "script.py"
    script.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dynatree import errors\n")
    assert import_closure(script, root=tmp_path) == {script}
    script.write_text("from dynatree import errors\n")
    assert tmp_path / "dynatree/errors.py" in import_closure(script, root=tmp_path)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("dynatree/tree.py", "depth = self.depth + 1", "depth = self.depth + 2"),
        ("dynatree/policies/feedback.py", "<= 0.1", "<= 0.2"),
        ("dynatree/benchmark/quiet.py", "gc.disable()", "gc.freeze()"),
        ("dynatree/__init__.py", '"TreeCache": "dynatree.models.kv_cache"', '"TreeCache": "dynatree.tree"'),
        (MEASURING, "exclusive=options.exclusive", "exclusive=False"),
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
    names = (
        "summarize",
        "summarize_memory",
        "summarize_compression",
        "choose_settings",
        "collect_facts",
        "judge_claims",
        "render_paper",
    )
    files = [f"scripts/{name}.py" for name in names]
    files += [file for name, files in entry_points().items() if " " in name for file in files]
    assert len(files) > 80
    for path in import_closure(*files):
        assert not re.search(r"(?m)^\s*(import|from) (torch|transformers)", path.read_text()), path


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_every_table_and_figure_has_a_fingerprint_of_its_own(copy, kind):
    before = fingerprints(copy)
    edit(copy / f"dynatree/analysis/{kind}s/memory.py", f"def {kind}(", f"def {kind}(*, ")
    after = fingerprints(copy)
    assert {name for name in before if before[name] != after[name]} == {f"{kind} memory"}


def test_captions_and_labels_of_the_catalogue_change_no_fingerprint(copy):
    before = fingerprints(copy)
    (copy / "dynatree/analysis/catalogue.py").write_text("TABLES = {}\n")
    assert fingerprints(copy) == before


def fingerprints(root: Path) -> dict[str, str]:
    code_hash.cache_clear()
    return {name: code_hash(*starts, root=root) for name, starts in entry_points(root).items()}


def test_lazy_names_are_followed(copy):
    (copy / "scripts/lazy.py").write_text("from dynatree import TokenTree\n")
    assert copy / "dynatree/tree.py" in import_closure("scripts/lazy.py", root=copy)
    (copy / "scripts/deep.py").write_text("from dynatree.kvcompress import make_method\n")
    closure = import_closure("scripts/deep.py", root=copy)
    assert copy / "dynatree/kvcompress/methods/h2o.py" in closure
    assert copy / "dynatree/kvcompress/hf_layer.py" not in closure


SYNTAX = '''
"""Text."""
from __future__ import annotations
import a.b as c, d
@decorator(x=1, *y, **z)
async def f(a, /, b: int = 3, *args, c=..., **rest) -> "t":
    """Text."""
    global g
    async with a as b, c: await d
    x: int = 0x10; y = 1_000.5; z = 2j; w = b"b"
    return f"{x!r:>{y}} {z=} {{}} {a['k']}" "more" f'{b"q"}'
class C(B, metaclass=M):
    "Text."
    def g(self): return (yield), [*(i for j in k if l for i in j)], {**m}, {1, 2}, lambda *p, q=1: ~-+p[1:2, ::3]
match x:
    case {"k": [1, *rest], **others} | C(y=None) if (n := 5): pass
    case _: raise E from None
try:
    del x, y[0]; assert not a or b and c, "m"
except* (A, B) as e: x @= y ** z // 3 << 2
else: nonsense if 1 < x <= 2 is not None else (a, b)
finally:
    while True: break
    else: continue
'''
INTERPRETERS = sorted(
    {*Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python"), *Path("/usr/bin").glob("python3.1[1-9]")}
)
HASHES = """
import sys
sys.path.insert(0, ".")
from dynatree.provenance.fingerprint import code_hash
print(*(code_hash(*starts.split(",")) for starts in sys.argv[1:]))
"""


def test_the_normalised_text_is_that_of_every_version_of_python(tmp_path):
    (tmp_path / "sample.py").write_text(SYNTAX)
    assert hashlib.sha256(normalized(tmp_path / "sample.py").encode()).hexdigest()[:16] == "58c0bb670efef601"


@pytest.mark.skipif(not INTERPRETERS, reason="no other Python here")
def test_other_versions_of_python_find_the_same_fingerprints():
    starts = list(entry_points().values())[::4]
    expected = [code_hash(*files) for files in starts]
    arguments = [",".join(files) for files in starts]
    for python in INTERPRETERS:
        done = subprocess.run([python, "-c", HASHES, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected, python


@pytest.mark.parametrize("carrier", sorted(CARRIERS))
def test_what_only_carries_scripts_does_not_count(copy, carrier):
    before = fingerprint(copy)
    with (copy / carrier).open("a") as stream:
        stream.write("changed = True\n")
    assert fingerprint(copy) == before


def test_relative_imports_are_refused(copy):
    (copy / "scripts/near.py").write_text("from . import benchmark\n")
    with pytest.raises(DynatreeError, match=r"near.py:1: a relative import"):
        import_closure("scripts/near.py", root=copy)


def test_no_module_is_imported_under_a_computed_name():
    """Except the public names, whose modules are followed, and tables and figures, whose modules are given."""
    found = []
    for path in (path for folder in ("dynatree", "scripts") for path in (ROOT / folder).rglob("*.py")):
        if re.search(r"import_module|__import__|runpy|(?<![.\w])(exec|eval)\(", path.read_text()):
            found.append(path.relative_to(ROOT).as_posix())
    assert sorted(found) == [
        "dynatree/__init__.py",
        "dynatree/kvcompress/__init__.py",
        "scripts/figure.py",
        "scripts/table.py",
    ]


@pytest.mark.parametrize(
    ("starts", "present", "absent"),
    [
        (("scripts/benchmark.py",), ("torch", "transformers", "safetensors"), ("matplotlib", "pandas", "ruff")),
        (
            ("scripts/figure.py", "dynatree/analysis/figures/main.py"),
            ("matplotlib", "pandas"),
            ("torch", "transformers"),
        ),
        (("scripts/choose_settings.py",), ("pandas",), ("torch", "matplotlib")),
    ],
)
def test_libraries_are_those_that_are_imported_with_their_pins(starts, present, absent):
    names = dict(entry.split() for entry in libraries(*starts).split(", "))
    lock = (ROOT / "envs/requirements.lock").read_text()
    assert all(f"{name}=={version}" in lock for name, version in names.items() if name != "pyyaml")
    assert set(present) <= set(names)
    assert not set(absent) & set(names)


def test_every_script_imports_only_what_is_pinned():
    for starts in entry_points().values():
        assert libraries(*starts) is not None


def test_an_import_that_is_not_pinned_is_named(copy):
    (copy / "scripts/odd.py").write_text("import numpee\n")
    with pytest.raises(DynatreeError, match=r"odd.py imports numpee, which envs/requirements.lock does not pin"):
        libraries("scripts/odd.py", root=copy)
