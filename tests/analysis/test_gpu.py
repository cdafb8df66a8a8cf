"""A proof on a GPU becomes a snapshot, lines of the README and a section of the paper."""

import json
from pathlib import Path

import pytest

from dynatree import DynatreeError
from dynatree.analysis.gpu import keep_proof, paper_facts, readme_lines
from dynatree.analysis.paper import _environment
from dynatree.utils.paths import ROOT
from dynatree.workflow.generated_docs import fill

MACHINE = {"kind": "machine", "device": "NVIDIA H100", "commit": "0123456789", "versions": {"torch": "2.11.0"}}
RATES = {"stock": {"autoregressive": 150}, "graphs": {"autoregressive": 300, "dynatree": 500, "cost_aware": 600}}


def rate_rows(**names) -> list[dict]:
    rates = RATES | {"huggingface": {"static": 200}}
    return [
        names | {"engine": engine, "case": case, "tokens_per_second": rate + change, "batch": 1}
        for engine, cases in rates.items()
        for case, rate in cases.items()
        for change in (-9, 0, 5)
    ]


@pytest.fixture
def proof(tmp_path) -> Path:
    """A folder like results/gpu, from made-up rows."""
    rows = {
        "probe": [MACHINE, {"kind": "ceiling", "name": "copy", "per_second": 3e12}],
        "scripted": [
            row | {"exact": True} for acceptance in (0.7, 0.84, 0.92) for row in rate_rows(acceptance=acceptance)
        ],
        "embedded": [
            *(row | {"divergence": None} for row in rate_rows(dtype="float32")),
            *(row | {"divergence": 3} for row in rate_rows(dtype="float16")),
            {"kind": "embedded", "dtype": "float16", "engine": "batch", "batch": 4, "tokens_per_second": 9e9},
        ],
        "passes": [
            {"kind": "pass", "model": "target", "backend": backend, "context": context, "new": 1}
            | {"ms": ms, "bytes": 6e9, "kernels": 900}
            for context in (64, 1500)
            for backend, ms in (("stock", 7.0), ("graphs", 2.5))
        ],
    }
    folder = tmp_path / "proof"
    folder.mkdir()
    for name, content in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    (folder / "tests.txt").write_text("....\n==== 61 passed in 80.12s ====\n")
    return folder


def test_the_readme_stays_short_and_names_the_best_method(proof, tmp_path):
    keep_proof(proof, tmp_path / "gpu")
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    fill(readme, "gpu", readme_lines(tmp_path / "gpu"))
    text = readme.read_text()
    assert len(text.splitlines()) <= 110 and "Not run on a GPU" not in text
    assert "Measured by `make gpu-proof` on NVIDIA H100, torch 2.11.0, commit 0123456. Tests: 61 passed" in text
    assert "| Pythia-2.8B, acceptance 0.84 | 150 | 200 | 300 | cost_aware 600 | 2.00 |" in text
    assert text.count("| SmolLM2-135M, float16 |") == 1
    assert (tmp_path / "gpu/probe.jsonl").exists() and len(list(proof.iterdir())) == 5


def test_the_paper_has_a_section(proof, tmp_path):
    keep_proof(proof, tmp_path / "gpu")
    files = {f"snapshots/gpu/{path.name}": path for path in (tmp_path / "gpu").iterdir()}
    gpu = paper_facts(files)
    assert gpu is not None and paper_facts({}) is None
    text = _environment().get_template("gpu.tex.j2").render(gpu=gpu)
    assert "NVIDIA H100" in text and r"1500 entries takes 2.50\,ms" in text and r"reaches 80\,\%" in text
    assert r"SmolLM2-135M, float16 & 150 & 200 & 300 & cost aware & 600 & 2.00 & 1.20 & 0/15 \\" in text


def test_a_proof_on_a_cpu_is_no_snapshot(proof, tmp_path):
    probe = proof / "probe.jsonl"
    probe.write_text(probe.read_text().replace("NVIDIA H100", "CPU"))
    (tmp_path / "gpu").mkdir()
    with pytest.raises(DynatreeError, match="a proof on a CPU, which measures nothing; run make gpu-proof on a GPU"):
        keep_proof(proof, tmp_path / "gpu")
    assert (tmp_path / "gpu").exists()
    probe.unlink()
    with pytest.raises(DynatreeError, match="does not describe a machine; run make gpu-proof"):
        keep_proof(proof, tmp_path / "gpu")
