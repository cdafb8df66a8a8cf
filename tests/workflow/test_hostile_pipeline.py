"""The tiny pipeline with labels, prompts and paths that want to run commands, read files or break the typesetting."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.repository_copy import NEEDS_LATEX, copy_repository, snakemake

LABELS = {
    "autoregressive": "$(touch pwned)",
    "hf_generate": "`touch pwned`",
    "hf_assisted": "%&_#{}~^",
    "hf_assisted_fixed": r"\input{/etc/passwd}",
    "chain": '"; touch pwned; "',
    "fixed_tree": "$x^",
    "dynatree_static": r"\frac{$ü",
    "dynatree": "a\ntouch pwned",
    "hf_prompt_lookup": r"\csname pwned\endcsname",
    "cost_aware": "${pwned} {{ pwned }}",
    "cost_aware_ngram": "<b>pwned</b> && touch pwned",
    "cost_aware_recycling": r"\\ pwned & #1",
    "cost_aware_model": "'; touch pwned; '",
}
DATASETS = {"encyclopaedic": r"}$x_{ \bye", "narrative": "{0} %s | pwned"}
MODELS = {"target": r"\write18{touch pwned}", "draft": "& pwned \\\\ #1"}
ORIGIN = r"\immediate\write18{touch pwned} \openin5=/etc/passwd"
IDS = ["$(touch pwned)", "../../pwned", "`touch pwned`$x^", r"\input{/etc/passwd}"]
TEXT = "'; touch pwned; echo \" $(touch pwned) `touch pwned` \\input{x} %&_#{}~^ ${HOME} <|eos|> ü \n\t end."
PROMPTS = "$(touch pwned) '; touch pwned #.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = copy_repository(tmp_path_factory.mktemp("hostile"))
    prompts = [{"id": name, "text": f"{TEXT} {number}"} for number, name in enumerate(IDS)]
    (folder / PROMPTS).write_text(yaml.safe_dump({"source": ORIGIN, "prompts": prompts}))
    (folder / "hostile.yaml").write_text(yaml.safe_dump(hostile(folder / "config/ci.yaml")))
    done = snakemake(folder, config="hostile.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def hostile(path: Path) -> dict:
    config = yaml.safe_load(path.read_text())
    for section, labels in (("methods", LABELS), ("prompts", DATASETS), ("models", MODELS)):
        assert set(config[section]) == set(labels)
        for name, label in labels.items():
            config[section][name]["label"] = label
    for method, label in zip(config["compression"]["methods"].values(), LABELS.values(), strict=False):
        method["label"] = label
    for dataset in config["prompts"].values():
        dataset["source"]["path"] = PROMPTS
    return config


@NEEDS_LATEX
def test_nothing_was_run_or_written_elsewhere(finished):
    assert not list(finished.rglob("pwned*"))
    assert not list(finished.parent.glob("pwned*"))
    assert not list(finished.parent.parent.glob("pwned*"))


@NEEDS_LATEX
def test_the_values_arrive_unchanged(finished):
    prepared = json.loads((finished / "results/ci/prompts/narrative.json").read_text())
    assert [prompt["id"] for prompt in prepared["prompts"]] == IDS[:3]
    assert prepared["prompts"][0]["text"] == f"{TEXT} 0"
    records = json.loads((finished / "results/ci/records/main-narrative.json").read_text())["records"]
    assert {record["prompt"] for record in records} == set(IDS[:3])


@NEEDS_LATEX
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is missing; install poppler-utils")
def test_the_paper_shows_them_literally(finished):
    pdf = finished / "paper/ci/dynatree.pdf"
    text = flat(subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, text=True, check=True).stdout)
    assert "root:x:0" not in text
    for expected in (*LABELS.values(), *DATASETS.values(), *MODELS.values(), ORIGIN):
        assert flat(expected) in text, expected


@NEEDS_LATEX
def test_every_figure_is_drawn(finished):
    assert len(list((finished / "figures/ci").glob("*.png"))) >= 16


def flat(text: str) -> str:
    """Without white space, and with lines that were broken joined."""
    return re.sub(r"\s+", "", text)
