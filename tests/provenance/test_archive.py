"""Archives: equal runs give equal bytes, and harmful members are refused."""

import gzip
import io
import json
import tarfile

import pytest

from dynatree import DynatreeError
from dynatree.provenance import archive as module
from dynatree.provenance.archive import ABOUT, pack, unpack
from dynatree.provenance.crate import CRATE
from dynatree.utils.files import sha256

CONFIG = {"run": "tiny", "device": "cpu"}
FILES = (
    "results/tiny/records/a.json",
    "results/tiny/summary/a.csv",
    "results/tiny/claims.csv",
    "paper/tiny/dynatree.pdf",
    "Snakefile",
    "workflow/rules/a.smk",
)
NOTE = "results/tiny/records/.provenance/a.json.json"


@pytest.fixture
def finished(tmp_path):
    folder = tmp_path / "run"
    for name in (*FILES, "results/tiny/logs/a.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    (folder / NOTE).parent.mkdir()
    (folder / NOTE).write_text('{"started": "2026-11-27T00:00:00+00:00", "finished": "2026-11-27T01:00:00+00:00"}')
    return folder


def test_an_archive_holds_the_run_its_notes_and_nothing_else(finished, tmp_path):
    pack(finished, CONFIG, tmp_path / "a.tar.gz")
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "copy")["config"] == CONFIG
    names = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert names == {ABOUT, CRATE, *FILES, NOTE}
    assert all((tmp_path / "copy" / name).read_text() == (finished / name).read_text() for name in FILES)


def test_an_archive_is_a_workflow_run_crate(finished, tmp_path):
    pack(finished, CONFIG, tmp_path / "a.tar.gz")
    copy = tmp_path / "copy"
    unpack(tmp_path / "a.tar.gz", copy)
    content = json.loads((copy / CRATE).read_text())
    entities = {one["@id"]: one for one in content["@graph"]}
    assert len(entities) == len(content["@graph"])
    root, workflow, action = entities["./"], entities["Snakefile"], entities["#run"]
    assert entities[CRATE]["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/wfrun/workflow/0.5"} in root["conformsTo"]
    assert root["mainEntity"] == action["instrument"] == {"@id": "Snakefile"}
    assert "ComputationalWorkflow" in workflow["@type"]
    assert (action["startTime"], action["endTime"]) == ("2026-11-27T00:00:00+00:00", "2026-11-27T01:00:00+00:00")
    assert {part["@id"] for part in root["hasPart"]} == {ABOUT, *FILES, NOTE}
    for part in root["hasPart"]:
        assert entities[part["@id"]]["sha256"] == sha256(copy / part["@id"])
    parameters = {one["@id"] for one in [workflow["input"], *workflow["output"]]}
    assert parameters == {"#configuration", "#claims.csv", "#dynatree.pdf"}
    assert {one["exampleOfWork"]["@id"] for one in entities.values() if "exampleOfWork" in one} == parameters
    known = {*entities, "https://w3id.org/ro/crate/1.1"}
    assert {one for one in _references(content["@graph"]) if one not in known} == {"https://snakemake.readthedocs.io"}


def _references(value):
    """Yield the ids that entities refer to."""
    if isinstance(value, dict) and set(value) == {"@id"}:
        yield value["@id"]
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(one)


def test_equal_runs_give_equal_bytes(finished, tmp_path):
    pack(finished, CONFIG, tmp_path / "a.tar.gz")
    for path in finished.rglob("*"):
        path.touch()
    pack(finished, CONFIG, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_unfinished_run_is_not_packed(tmp_path):
    with pytest.raises(DynatreeError, match=r"run tiny is not finished in .*; run the pipeline before you archive it"):
        pack(tmp_path, CONFIG, tmp_path / "a.tar.gz")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_packing_leaves_nothing(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pack(finished, CONFIG, tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def archive_of(path, *members: tuple[str, dict]):
    """Write an archive of members: a name, and the attributes that differ from those of an empty plain file."""
    with tarfile.open(path, "w:gz") as tar:
        for name, attributes in members:
            member = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


@pytest.mark.parametrize(
    ("name", "attributes", "complaint"),
    [
        ("../outside", {}, "not the name of a run's file"),
        ("results/../../outside", {}, "not the name of a run's file"),
        ("/tmp/outside", {}, "not the name of a run's file"),
        ("Makefile", {}, "not the name of a run's file"),
        ("results/a b;touch outside", {}, "not the name of a run's file"),
        ("results/\x1b[2Jname", {}, "not the name of a run's file"),
        ("results/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "not a plain file"),
        ("results/link", {"type": tarfile.LNKTYPE, "linkname": "archive.json"}, "not a plain file"),
        ("results/device", {"type": tarfile.CHRTYPE}, "not a plain file"),
        ("results/pipe", {"type": tarfile.FIFOTYPE}, "not a plain file"),
        ("results/folder", {"type": tarfile.DIRTYPE}, "not a plain file"),
        ("archive.json", {}, "is there twice"),
    ],
)
def test_harmful_members_are_refused(tmp_path, name, attributes, complaint):
    path = archive_of(tmp_path / "a.tar.gz", ("archive.json", {}), (name, attributes))
    with pytest.raises(DynatreeError, match=f"{complaint}.*ask for another copy"):
        unpack(path, tmp_path / "inner/folder")
    assert not list(tmp_path.rglob("outside"))
    assert [p for p in tmp_path.rglob("*") if p.is_symlink()] == []


def test_members_larger_than_any_run_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZE_LIMIT", 1000)
    sizes = {"results/tiny/a": 600, "results/tiny/b": 600}
    path = archive_of(tmp_path / "a.tar.gz", *((name, {"size": size}) for name, size in sizes.items()))
    with pytest.raises(DynatreeError, match="larger than any run, at 'results/tiny/b'"):
        unpack(path, tmp_path / "folder")
    assert not (tmp_path / "folder/results/tiny/b").exists()


# Ids are given because the bytes hold the time of compression, which differs between workers.
@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no tar" * 1000)], ids=["empty", "text", "gzip"]
)
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DynatreeError, match=r"a.tar.gz"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "folder")


def test_a_truncated_archive_is_named(finished, tmp_path):
    pack(finished, CONFIG, tmp_path / "a.tar.gz")
    (tmp_path / "b.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:-40])
    with pytest.raises(DynatreeError, match=r"b.tar.gz cannot be unpacked .*; ask for another copy"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "folder")


@pytest.mark.parametrize("about", [[], {"config": "text"}, {}])
def test_an_archive_without_a_configuration_is_refused(tmp_path, about):
    content = json.dumps(about).encode()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(ABOUT)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    with pytest.raises(DynatreeError, match=r"archive.json holds no configuration"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "folder")


def test_an_archive_of_something_else_is_refused(tmp_path):
    with pytest.raises(DynatreeError, match="was not made by `make archive`"):
        unpack(archive_of(tmp_path / "a.tar.gz", ("results/tiny/x", {})), tmp_path / "folder")
