"""The report of a finished run, and the diagram of the rules in the documentation."""

import subprocess
import sys

import pytest

from dynatree.workflow.rulegraph import mermaid
from tests.support.repository_copy import NEEDS_LATEX, ROOT

pytestmark = [NEEDS_LATEX, pytest.mark.xdist_group("finished run")]


@pytest.fixture(scope="module")
def report(finished) -> str:
    finished.make("--report", "report.html", config="config/ci.yaml")
    return (finished / "report.html").read_text()


def test_the_report_holds_categories_description_and_captions(report):
    categories = ("Claims", "Figures", "Tables", "Paper", "Round", "Run", "Settings", "Scaling")
    captions = (
        "Contribution of each component of DynaTree, from a chain to the full method.",
        "Published numbers beside those of this run.",
        "Verdicts on the claims of the original paper.",
    )
    opening = ("a random Llama, drafted for by", "claims of the original paper:", "data:image/png;base64")
    for expected in (*categories, *opening, *captions):
        assert expected in report, expected


def test_every_figure_and_table_is_in_the_report(report, finished):
    names = [f"figures/ci/{path.name}" for path in (finished / "figures/ci").glob("*.png")]
    names += [f"results/ci/tables/{path.name}" for path in (finished / "results/ci/tables").glob("*.csv")]
    names += ["results/ci/claims.html", "results/ci/environment.html", "results/ci/round.html", "paper/ci/dynatree.pdf"]
    assert len(names) > 25
    assert [name for name in names if name not in report] == []


def test_the_pages_show_verdicts_and_machine(finished):
    ledger = (finished / "results/ci/claims.html").read_text()
    files = [(finished / f"results/ci/{name}.csv").read_text().splitlines() for name in ("claims", "shape_claims")]
    assert ledger.count("<tr><td>") == sum(len(lines) - 1 for lines in files)
    assert "not testable here" in ledger
    assert "torch" in (finished / "results/ci/environment.html").read_text()


def test_the_diagram_of_the_rules_is_that_of_the_code():
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/ci.yaml", "--forceall", "--rulegraph"]
    done = subprocess.run([*command, "mermaid-js"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert mermaid(done.stdout) in (ROOT / "docs/architecture.md").read_text(), "run `make dag`"
