"""The requests behind a cell of a table."""

from pathlib import Path

import pandas as pd
import pytest

from dynatree import DynatreeError
from dynatree.analysis.labels import with_labels
from dynatree.analysis.summary import per_request
from dynatree.analysis.tables.peers import table
from dynatree.cli import main
from dynatree.config.plan import Plan
from dynatree.provenance.cell import trace_cell
from tests.support.synthetic import configuration, measurement


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The results of a made-up run that the table of peers needs."""
    folder = tmp_path_factory.mktemp("run") / "results/demo"
    config = configuration()
    names = ("peers-encyclopaedic", "peers-narrative")
    requests = pd.concat([per_request(name, measurement(name, 3, config)) for name in names], ignore_index=True)
    for kind in ("requests", "tables"):
        (folder / kind).mkdir(parents=True)
    requests.to_csv(folder / "requests/peers.csv", index=False)
    frame, _ = table(with_labels(requests, Plan.from_config(config).labels("peers")))
    frame.to_csv(folder / "tables/peers.csv", index=False)
    return folder


def test_a_cell_names_every_request_and_its_baseline(run):
    lines = trace_cell(run, "peers", "fixed_tree", "narrative")
    own = [line for line in lines if line.startswith(f"  {run}/records/peers-narrative.json: fixed_tree, group ")]
    assert len(own) == 2 * 3, "two output lengths and three prompts"
    assert sum(line.startswith("    over autoregressive, group ") for line in lines) == len(own)
    assert not [line for line in lines if "peers-encyclopaedic" in line]
    shown = [line for line in lines if "/tables/peers.csv: " in line]
    assert len(shown) == 2 and all("dataset_label Narrative" in line and "speedup 1.3" in line for line in shown)


def test_a_label_names_a_row_and_no_column_means_all(run):
    assert trace_cell(run, "peers", "Fixed tree", "narrative") == trace_cell(run, "peers", "fixed_tree", "Narrative")
    assert len(trace_cell(run, "peers", "fixed_tree")) > len(trace_cell(run, "peers", "fixed_tree", "narrative"))


def test_mistakes_name_the_choices(run):
    for arguments, message in (
        (("pears", "fixed_tree"), "there is no table 'pears'; choose one of main, "),
        (("peers", "tree"), "no row 'tree'; there are autoregressive, "),
        (("peers", "fixed_tree", "books"), "no column 'books' for 'fixed_tree'; there are "),
        (("main", "fixed_tree"), "tables/main.csv is missing; name a finished run"),
    ):
        with pytest.raises(DynatreeError, match=message):
            trace_cell(run, *arguments)


def test_the_command_line(run, monkeypatch, capsys):
    monkeypatch.chdir(run.parent.parent)
    assert main(["trace", "--table", "peers", "--row", "fixed_tree", "--column", "narrative"]) == 0
    assert "records/peers-narrative.json: fixed_tree" in capsys.readouterr().out
    assert main(["trace"]) == 2
    assert "name a file, a cell with --table" in capsys.readouterr().err
