"""A small made-up run with provenance notes, from a model to a PDF."""

import json
from pathlib import Path

from dynatree.provenance.notes import hash_of, note_path

RECORDS, SUMMARY, REQUESTS = (
    f"results/r/{name}" for name in ("records/main-a.json", "summary/main.csv", "requests/main.csv")
)
ABOUT = {
    "code": "c0de",
    "started": "2026-01-02T03:04:05+00:00",
    "environment": {"commit": "abcdef", "machine": "host", "threads": 2, "versions": {"python": "3.11", "torch": "2"}},
}
MEASUREMENT = {
    "job": {"experiment": "main"},
    "sessions": {"s1": ABOUT, "s2": ABOUT},
    "records": [
        {"session": session, "group": "all", "case": case, "prompt": prompt}
        for session, case, prompt in (("s1", "tree", "p"), ("s2", "tree", "q"), ("s1", "chain", "p"))
    ],
}
FILES = {
    "paper/x.bib": "@book{a}",
    "config/c.yaml": "value: 9.75",
    "resources/models/t/MANIFEST.sha256": "00ff  model.safetensors\n",
    RECORDS: json.dumps(MEASUREMENT),
    SUMMARY: "job,dataset,group,case,speedup\nmain-a,a,all,tree,1.2042\nmain-a,a,all,chain,0.91\n",
    REQUESTS: "job,dataset,group,case,prompt,throughput\nmain-a,a,all,tree,p,5\n",
    "results/r/tables/main.tex": "Tree & 1.20 \\\\\nChain & $-$0.91 \\\\\n",
    "paper/r/x.pdf": "%PDF",
}


def note(root: Path, script: str, inputs: list[str], outputs: list[str], **arguments) -> None:
    content = {
        "script": script,
        "arguments": arguments,
        "code": "0123",
        "commit": "abcdef0123456789",
        "uncommitted_changes": script.endswith("table.py"),
        "machine": "host",
        "processor": "A CPU",
        "threads": "2",
        "finished": "2026-01-02T03:04:05+00:00",
        "versions": {"python": "3.11", "pandas": "3", "six": "1"},
        "inputs": {name: hash_of(root / name) for name in inputs},
        "outputs": {name: hash_of(root / name) for name in outputs},
    }
    for name in outputs:
        path = note_path(root / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def make_small_run(folder: Path) -> None:
    """Write the files and notes of a run below a folder."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    model = "resources/models/t/MANIFEST.sha256"
    note(folder, "scripts/fetch_model.py", [], [model], source={"kind": "random"}, output="resources/models/t")
    note(folder, "scripts/benchmark.py", [model], [RECORDS], job={"experiment": "main"}, target="resources/models/t")
    note(folder, "scripts/summarize.py", [RECORDS], [REQUESTS, SUMMARY], records=[RECORDS])
    note(folder, "scripts/table.py", [SUMMARY], ["results/r/tables/main.tex"])
    included = ["results/r/tables/main.tex", "paper/x.bib", SUMMARY]
    note(folder, "scripts/compile_paper.py", included, ["paper/r/x.pdf"])
