"""The examples and the README's Python code run on tiny models that stand in for the embedded pair."""

import re
import subprocess
from pathlib import Path

import pytest

from dynatree.data.checkpoints import fetch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with random checkpoints where the embedded pair would be."""
    folder = tmp_path_factory.mktemp("examples")
    options = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}
    fetch(options, folder / "resources/models/smollm2-135m-instruct")
    fetch(options | {"noise": 0.05}, folder / "models/smollm2-135m-draft")
    return folder


def run(folder: Path, python: Path, script: Path) -> str:
    done = subprocess.run([python, script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs(name, folder, preloaded_python):
    assert "rounds" in run(folder, preloaded_python, ROOT / "examples" / name)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_python_code_of_a_document_runs(name, folder, preloaded_python):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)
    assert blocks
    (folder / "document.py").write_text("\n".join(blocks))
    assert "rounds" in run(folder, preloaded_python, folder / "document.py")
