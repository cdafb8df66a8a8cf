"""The first page of the report and the page of one round, whose script runs in a headless browser."""

import base64
import re
import shutil
import subprocess

import pytest

from dynatree.analysis.report_pages import report_text, round_page
from tests.support.repository_copy import ROOT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROUND = {
    "prompt": "p0",
    "root": " the",
    "tokens": [" the", "</script>", "\n", " cat", " dog"],
    "parents": [-1, 0, 0, 1, 1],
    "depths": [0, 1, 1, 2, 2],
    "path_probabilities": [1.0, 0.6, 0.2, 0.5, 0.05],
    "accepted": [1, 3],
    "bonus": "!",
    "new_position": 3,
}


@pytest.fixture
def page() -> str:
    return round_page((ROOT / "workflow/report/round.html").read_text(), ROUND)


def test_the_page_of_a_round_needs_no_network_and_no_token_ends_its_script(page):
    assert page.count("</script>") == 1
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


@pytest.mark.skipif(not BROWSER, reason="no Chromium here")
@pytest.mark.parametrize(("step", "accepted", "rejected"), [("Draft", 0, 0), ("Emit", 3, 2)])
def test_the_page_of_a_round_shows_tree_mask_and_accepted_path(page, tmp_path, step, accepted, rejected):
    (tmp_path / "round.html").write_text(page)
    address = f"file://{tmp_path}/round.html#{step}"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    document = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, check=True).stdout
    assert document.count('class="accepted"') == accepted
    assert document.count('class="rejected"') == rejected
    assert document.count('<td class="on">') == 1 + 2 + 2 + 3 + 3  # a node attends to its path and to itself
    assert f'data-step="{step}"' in document


def test_the_report_begins_with_the_headline_figure_and_the_verdicts():
    template = (ROOT / "workflow/report/workflow.rst").read_text()
    image = b"\x89PNG" * 1000
    text = report_text(template, image, ["too few data", "holds here", "too few data"])
    assert f"data:image/png;base64,{base64.b64encode(image).decode()}" in "".join(text.split())
    assert max(map(len, text.splitlines())) < 200, "docutils refuses long lines"
    assert "Verdicts on the 3 claims of the original paper: 1 holds here, 2 too few data." in text
    assert text.index("base64") < text.index("*Claims* holds")
