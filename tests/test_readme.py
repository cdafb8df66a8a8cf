"""The README says what is there."""

import re
from pathlib import Path

from dynatree.analysis.readme_tables import markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_is_the_snapshot():
    table = markdown(ROOT / "results/snapshots/demo")
    assert len(re.findall(r"^\| DynaTree(?:, no history)? \|", table, re.M)) == 5
    assert len(re.findall(r"^\| Throughput \|", table, re.M)) == 1
    assert f"<!-- snapshot -->\n\n{table}\n<!-- end of snapshot -->" in README


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.M)) <= targets
