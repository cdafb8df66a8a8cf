"""The README and the results page agree with the snapshot and with the repository."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dynatree.analysis.readme_tables import longest_requests, readme_table, recommended, results_tables

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = ROOT / "results/snapshots/demo"
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("path", "content"), [("README.md", readme_table), ("docs/results.md", results_tables)])
def test_generated_tables_are_those_of_the_snapshot(path, content):
    expected = f"<!-- snapshot -->\n\n{content(SNAPSHOT)}\n<!-- end of snapshot -->"
    assert expected in (ROOT / path).read_text()


def test_the_headline_number_is_the_snapshots():
    rows = longest_requests(pd.read_csv(SNAPSHOT / "peers.csv"))
    speedup = rows.loc[recommended(rows), "speedup"].item()
    assert f"{speedup:.2f} times the speed of autoregressive decoding" in README


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 110


def test_links_of_the_readme_resolve():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert not [link for link in links if not (ROOT / link).exists()]


def test_commands_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = re.findall(r"(?:^|`)make ([a-z -]+?)(?=`|$|  )", README, re.M)
    assert {target for words in commands for target in words.split()} <= targets
