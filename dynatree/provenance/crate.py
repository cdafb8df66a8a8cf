"""The description of a run as a Workflow Run RO-Crate 0.5, https://w3id.org/ro/wfrun/workflow."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

CRATE = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
SNAKEMAKE = "https://snakemake.readthedocs.io"
LICENSE = "https://spdx.org/licenses/MIT"
RESULTS = ("results/", "figures/", "paper/")
ENDS = ("/claims.csv", "/dynatree.pdf")  # of the results that the workflow is run for
FORMATS = {
    ".csv": "text/csv",
    ".npz": "application/zip",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".tex": "application/x-tex",
}

Entity = dict[str, Any]


class Member(NamedTuple):
    """A file of the crate.

    Attributes:
        name: its path.
        size: its bytes.
        digest: its SHA-256.
    """

    name: str
    size: int
    digest: str


def crate(
    run: str, about: dict[str, Any], described_by: str, members: Sequence[Member], notes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``.

    Args:
        run: name of the run.
        about: see :func:`dynatree.provenance.archive.describe`.
        described_by: the file that holds ``about``, the input of the workflow.
        members: all files, among them the workflow and ``described_by``.
        notes: provenance notes of the steps; their times are those of the run.
    """
    outputs = {name: f"#{PurePosixPath(name).name}" for name, _, _ in members if name.endswith(ENDS)}
    parameters = {described_by: "#configuration", **outputs}
    files = [_file(member, parameters.get(member.name)) for member in members]
    workflow = next(one for one in files if one["@id"] == WORKFLOW)
    workflow |= _workflow(about.get("commit"), list(outputs.values()))
    times = _times(notes)
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"run {run} of the workflow",
        "instrument": _ref(WORKFLOW),
        "description": "All steps of the workflow from fetching the models to the paper.",
        "object": _ref(described_by),
        "result": [_ref(name) for name, _, _ in members if name.startswith(RESULTS)],
        "actionStatus": "http://schema.org/CompletedActionStatus",
        **times,
    }
    graph = [*_roots(run, files, times), *_fixed(list(parameters.values())), action, *files]
    return {"@context": CONTEXT, "@graph": graph}


def _times(notes: list[dict[str, Any]]) -> dict[str, str]:
    """Return when the first step has started and the last one has finished, as far as notes say so."""
    started = [note["started"] for note in notes if "started" in note]
    finished = [note["finished"] for note in notes if "finished" in note]
    return ({"startTime": min(started)} if started else {}) | ({"endTime": max(finished)} if finished else {})


def _roots(run: str, files: list[Entity], times: dict[str, str]) -> list[Entity]:
    """Return the descriptor and the root of the crate."""
    profile = [_ref("https://w3id.org/ro/crate/1.1"), _ref("https://w3id.org/workflowhub/workflow-ro-crate/1.0")]
    descriptor = {"@id": CRATE, "@type": "CreativeWork", "conformsTo": profile, "about": _ref("./")}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Run {run} of the DynaTree pipeline",
        "description": "Raw records, provenance notes, tables, figures, claims and paper of a run.",
        "license": _ref(LICENSE),
        "conformsTo": [_ref(name) for name in PROFILES],
        "mainEntity": _ref(WORKFLOW),
        "mentions": _ref("#run"),
        "hasPart": [_ref(one["@id"]) for one in files],
    }
    return [descriptor, root | ({"datePublished": times["endTime"]} if "endTime" in times else {})]


def _fixed(parameters: list[str]) -> list[Entity]:
    """Return the entities of profiles, language, license and parameters."""
    profiles = PROFILES.items()
    formal = {"@type": "FormalParameter", "additionalType": "File"}
    return [
        *(
            {"@id": name, "@type": "CreativeWork", "name": title, "version": number}
            for name, (title, number) in profiles
        ),
        {"@id": LANGUAGE, "@type": "ComputerLanguage", "name": "Snakemake", "url": _ref(SNAKEMAKE)},
        {"@id": LICENSE, "@type": "CreativeWork", "name": "MIT License"},
        *({"@id": name, "name": name.removeprefix("#"), **formal} for name in parameters),
    ]


def _workflow(commit: str | None, outputs: list[str]) -> Entity:
    """Return what the file of the workflow has beyond other files."""
    return {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "DynaTree pipeline",
        "programmingLanguage": _ref(LANGUAGE),
        "input": _ref("#configuration"),
        "output": [_ref(name) for name in outputs],
        **({"version": commit} if commit else {}),
    }


def _file(member: Member, parameter: str | None) -> Entity:
    """Return the entity of a file, which may be the value of a parameter of the workflow."""
    return {
        "@id": member.name,
        "@type": "File",
        "contentSize": str(member.size),
        "sha256": member.digest,
        "encodingFormat": FORMATS.get(PurePosixPath(member.name).suffix, "text/plain"),
        **({"exampleOfWork": _ref(parameter)} if parameter else {}),
    }


def _ref(name: str) -> dict[str, str]:
    return {"@id": name}
