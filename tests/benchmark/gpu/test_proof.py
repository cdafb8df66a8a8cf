"""The proof runs on a CPU with tiny models, so that no GPU time is spent on mistakes of the program."""

import itertools
import subprocess
import sys

import pytest
import torch

from dynatree import ModelPair, generate
from dynatree.analysis.gpu import keep_proof, readme_lines
from dynatree.benchmark.gpu.output import Section, Setting, rows
from dynatree.benchmark.gpu.proof import MEASURED, prove
from dynatree.benchmark.gpu.scripted import candidates, follow_script
from dynatree.benchmark.gpu.shapes import repetitive_text
from dynatree.utils.paths import ROOT
from tests.support.models import tiny_model

MISSING = ("snakemake", "datasets", "jsonschema")  # on a machine that only measures


def test_all_sections_of_a_tiny_proof(tmp_path):
    setting = Setting(torch.device("cpu"), True, tmp_path, tmp_path, tmp_path, tmp_path)
    text = prove([*MEASURED, "tests", "table"], setting, 600)
    files = list(tmp_path.iterdir())
    assert len(files) <= 8 and all(path.is_file() and path.stat().st_size < 2**24 for path in files)
    for name in MEASURED:
        found = rows(tmp_path / f"{name}.jsonl")
        assert found and not [row for row in found if row["kind"] == "limit"], name
    scripted = [row for row in rows(tmp_path / "scripted.jsonl") if row["kind"] == "scripted"]
    assert all(row["exact"] for row in scripted)
    assert {row["engine"] for row in scripted} == {"stock", "graphs", "huggingface"}
    exact = [row for row in rows(tmp_path / "embedded.jsonl") if row.get("dtype") == "float32"]
    assert {row["batch"] for row in exact} == {1, 4} and all(row["divergence"] is None for row in exact)
    assert "scripted acceptance" in text and "Peak memory" in text
    keep_proof(tmp_path, tmp_path / "snapshot", any_device=True)
    assert "SmolLM2" not in readme_lines(tmp_path / "snapshot")  # a tiny proof has no float16
    assert "acceptance 0.7" in readme_lines(tmp_path / "snapshot")


def test_a_section_that_fails_leaves_the_others(tmp_path, monkeypatch):
    setting = Setting(torch.device("cpu"), False, tmp_path, tmp_path, tmp_path, tmp_path / "pack")
    monkeypatch.setitem(MEASURED, "memory", lambda section, _: section.add(kind="done"))
    text = prove(["embedded", "memory"], setting, 60)
    (row,) = rows(tmp_path / "embedded.jsonl")
    assert row["kind"] == "error" and "expected.json is missing; run make gpu-pack" in row["message"]
    assert rows(tmp_path / "memory.jsonl") == [{"kind": "done"}]
    assert "- embedded: DynatreeError:" in text


def test_a_section_stops_at_its_limit_and_says_so(tmp_path):
    ticks = itertools.count()
    section = Section(tmp_path / "rows.jsonl", 2.5, lambda: next(ticks))
    assert list(section.until_late("abcde")) == ["a", "b"]
    assert rows(section.path) == [{"kind": "limit", "left_out": 3}]


def test_candidates_are_right_as_often_as_their_probabilities_say():
    text = repetitive_text(4000, 500)
    ids, scores = candidates(text, 500, 0.8, seed=3)
    right = (ids == torch.tensor(text[1:])[:, None]).float()
    assert right[:, 0].mean() == pytest.approx(0.8, abs=0.03)
    assert torch.allclose(right.mean(0), scores.exp().mean(0), atol=0.03)
    assert all(len(set(row)) == 3 for row in ids.tolist())


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_scripted_pair_emits_its_text(kind):
    pair = ModelPair(tiny_model(kind, 1), tiny_model(kind, 2))
    text = repetitive_text(60, 48)
    rounds = []
    for acceptance in (0.5, 0.95):
        follow_script(pair.target, pair.draft, text, acceptance)
        out = generate(pair, text[:8], "chain", 40, None, length=4)
        assert out.tokens == text[8:48]
        rounds.append(out.stats.rounds)
    assert rounds[0] > rounds[1]


@pytest.mark.nightly
def test_the_proof_imports_nothing_that_a_measuring_machine_lacks():
    """Imports of a program of its own, because this one has imported them."""
    code = f"import sys; sys.modules.update(dict.fromkeys({MISSING})); import dynatree.benchmark.gpu.proof"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
