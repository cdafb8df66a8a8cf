"""A benchmark of tiny models: measured, interrupted, written, verified and compared."""

import json
import shutil
from contextlib import nullcontext
from unittest import mock

import jsonschema
import pytest

from dynatree import DynatreeError
from dynatree.config.jobs import DisturbanceRule
from dynatree.data.checkpoints import fetch
from dynatree.data.random_model import byte_tokenizer
from dynatree.latency.cost_model import CostModel
from dynatree.user_bench import folder as folders
from dynatree.user_bench.measure import Bench
from dynatree.user_bench.plan import CANDIDATES, NO_DRAFT, Plan
from dynatree.user_bench.report import answer, csv_text, table
from dynatree.user_bench.results import recommend, rows_of
from dynatree.utils.files import MANIFEST, sha256
from dynatree.utils.paths import ROOT

REQUESTS = 4 * (4 + 6)  # prompts times methods of both arms
NEVER = DisturbanceRule(1e9, 1e9, 0.0, 0)
TEXTS = ["first", "the second", "a third", "number four"]
PROMPTS = [byte_tokenizer()(text).input_ids for text in TEXTS]
WARM_UP = byte_tokenizer()("a text of its own").input_ids


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    options = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}
    fetch(options, folder / "target")
    fetch(options | {"noise": 0.05}, folder / "draft")
    methods = [name for name in CANDIDATES if name != "autoregressive"]
    names = str(folder / "target"), [str(folder / "draft")]
    return Plan(*names, methods, new_tokens=6, device="cpu", backend="stock", rule=NEVER)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Give each model a cost model without a measurement, and leave the garbage collector alone."""
    costs = CostModel((1, 2, 64), (1,), [[10.0, 10.5, 30.0]])
    with (
        mock.patch("dynatree.drafting.factory.load_cost_model", return_value=costs),
        mock.patch("dynatree.benchmark.session.quiet", nullcontext),
    ):
        yield


@pytest.fixture(scope="module")
def run(plan, tmp_path_factory):
    """A finished benchmark, whose first process was interrupted, and its folder."""
    folder, seen = tmp_path_factory.mktemp("bench"), []

    def interrupt(measurements):
        seen.append(sum(len(one.records) for one in measurements.values()))
        if len(seen) == 2:
            raise KeyboardInterrupt

    bench = Bench(plan, PROMPTS, WARM_UP, folder)
    with pytest.raises(KeyboardInterrupt):
        bench.run(interrupt)
    partial = bench.so_far()
    assert 0 < partial.finished < partial.planned == REQUESTS
    text = answer(recommend(partial.measurements, plan.target, {}), partial.finished, partial.planned)
    assert text.startswith(f"{partial.finished} of {REQUESTS} requests are finished; the same command goes on.")
    assert seen == [4, 8], "after all methods have decoded a prompt"
    again = Bench(plan, PROMPTS, WARM_UP, folder)
    found = again.run(lambda _: seen.append(None))
    assert found.finished == found.planned
    assert len(seen) == 2 + 2 + 4, "finished requests are not measured again"
    folders.write_folder(found, folder)
    return found, folder


def test_every_method_has_a_row_and_exact_outputs(run, plan):
    rows = rows_of(run[0].measurements)
    drafted = [("draft", name) for name, one in CANDIDATES.items() if one.drafted is not False]
    plain = [(NO_DRAFT, name) for name, one in CANDIDATES.items() if not one.drafted]
    assert {(row.draft, row.method) for row in rows} == {*drafted, *plain} - {("draft", "autoregressive")}
    assert all(row.equal == row.outputs == row.prompts == 4 for row in rows)
    baseline = next(row for row in rows if row.method == "autoregressive")
    assert baseline.speedup == baseline.low == baseline.high == baseline.tokens_per_round == 1
    assert table(rows).count("\n") == csv_text(rows).count("\n") == len(rows) + 1
    found = recommend(run[0].measurements, plan.target, {"draft": plan.drafts[0], "no draft": None})
    assert found and ("Use " in found.words or "plain decoding" in found.words)


def test_the_folder_verifies(run):
    assert folders.verify(run[1]) == []
    names = {path.name for path in run[1].iterdir()}
    assert {"bench.json", "results.csv", "speedup.png", "index.html", MANIFEST, "records-0.json"} <= names
    page = (run[1] / "index.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_the_summary_follows_the_schema_of_the_community(run):
    schema = json.loads((ROOT / "results/community/schema.json").read_text())
    jsonschema.validate(json.loads((run[1] / "bench.json").read_text()), schema)


def test_every_folder_of_the_community_is_valid():
    schema = json.loads((ROOT / "results/community/schema.json").read_text())
    for path in (ROOT / "results/community").glob("*/bench.json"):
        jsonschema.validate(json.loads(path.read_text()), schema)
        assert folders.verify(path.parent) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record["tokens"].__setitem__(2, 1), "first difference is 2, not None"),
        (lambda record: record.update(rounds=99), "99 rounds, but"),
        (lambda record: record.update(seconds={"total": 9.0, "ttft": 0.1}), "speedup is"),
        (lambda record: record["tokens"].pop(), "5 tokens instead of 6"),
    ],
    ids=["token", "count", "time", "length"],
)
def test_a_changed_record_is_found_even_with_new_hashes(run, tmp_path, change, problem):
    copy = tmp_path / "copy"
    shutil.copytree(run[1], copy)
    number = next(one for one in json.loads((copy / "bench.json").read_text())["arms"] if one["arm"] == "draft")
    path = copy / number["records"]
    content = json.loads(path.read_text())
    change(next(record for record in content["records"] if record["case"] == "chain"))
    path.write_text(json.dumps(content))
    assert folders.verify(copy) == [f"{path.name} differs from its hash"]
    lines = [line.split() for line in (copy / MANIFEST).read_text().splitlines()]
    (copy / MANIFEST).write_text("".join(f"{sha256(copy / name)}  {name}\n" for _, name in lines))
    assert any(problem in one for one in folders.verify(copy))


def test_machines_share_one_table(run, tmp_path):
    shutil.copytree(run[1], tmp_path / "other")
    lines = folders.compare_folders([run[1], tmp_path / "other"]).splitlines()
    assert lines[0].count("threads") == lines[0].count("short texts") == 2
    assert len(lines) == 2 + len(rows_of(run[0].measurements))
    assert all("x" in line for line in lines[2:])


def test_other_folders_are_errors(tmp_path):
    with pytest.raises(DynatreeError, match="not a folder of dynatree bench"):
        folders.verify(tmp_path)
    (tmp_path / "bench.json").write_text('{"format": 99}')
    with pytest.raises(DynatreeError, match="has no format 1"):
        folders.read_folder(tmp_path)
    (tmp_path / "bench.json").write_text('{"format": 1, "arms": [{"arm": "a", "records": "../x.json"}]}')
    with pytest.raises(DynatreeError, match="outside of the folder"):
        folders.read_folder(tmp_path)
