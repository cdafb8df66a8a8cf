"""Ids and sources of the numbers that templates print."""

import csv
import io
import re

import jinja2

from dynatree.analysis.paper import TEMPLATES
from dynatree.analysis.printed_numbers import PRINTED, SOURCES, PrintedNumbers, as_csv
from dynatree.utils.paths import ROOT

TEMPLATE = """\
%% for name, rows in datasets.items()
%% set best = rows.dynatree
\\VAR{name} \\VAR{best.speedup|round(1)} \\BLOCK{for row in results.length}\\VAR{row.rounds}\\BLOCK{endfor}
%% endfor
\\VAR{table("main7")} \\VAR{config.count} \\VAR{peers[32].speed if config.count else 0}
"""


def printed(values: dict) -> tuple[str, list]:
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"results.tex.j2": TEMPLATE}),
        extensions=[PrintedNumbers],
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        line_statement_prefix="%%",
    )
    text = environment.get_template("results.tex.j2").render(values)
    return text, environment.extensions[PrintedNumbers.identifier].printed


def test_each_number_has_an_id_an_expression_and_its_files():
    trees = {"one": {"dynatree": {"speedup": 1.26}}, "two": {"dynatree": {"speedup": 2.04}}}
    values = {
        "datasets": trees,
        "results": {"length": [{"rounds": 3}]},
        "table": lambda name: f"../{name}.tex",
        "config": {"count": 9},
        "peers": {32: {"speed": 5.5}},
    }
    text, numbers = printed(values)
    assert text.split() == ["one", "1.3", "3", "two", "2.0", "3", "../main7.tex", "9", "5.5"]
    assert [(one.id, one.printed, one.expression, one.sources) for one in numbers] == [
        ("results.2", "1.3", "best.speedup|round(1)", "summary/main.csv"),
        ("results.3", "3", "row.rounds", "summary/length.csv"),
        ("results.2.2", "2.0", "best.speedup|round(1)", "summary/main.csv"),
        ("results.3.2", "3", "row.rounds", "summary/length.csv"),
        ("results.4", "9", "config.count", ""),
        ("results.5", "5.5", "peers[32].speed if config.count else 0", "tables/peers.csv"),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(numbers))))
    assert rows[0] == {
        "id": "results.2",
        "printed": "1.3",
        "expression": "best.speedup|round(1)",
        "sources": "summary/main.csv",
    }


def test_every_name_of_a_result_in_the_templates_has_a_source():
    settings = {"config", "constants", "margins", "rule", "figure", "table"}
    documented = set(re.findall(r"^\* ``(\w+)", (ROOT / "dynatree/analysis/paper.py").read_text(), re.MULTILINE))
    assert documented - settings - {"assisted_cases"} == set(SOURCES)
    assert sum(len(PRINTED.findall(path.read_text())) for path in (ROOT / TEMPLATES).glob("*.j2")) > 100
