# Parts of the configuration that the paper states.
SHOWN = [
    *("run", "device", "dtype", "backend", "threads", "models", "prompts", "protocol"),
    *("compression", "experiments", "methods"),
]
TEMPLATES = sorted(str(path) for path in Path("paper").glob("*.tex.j2"))
RESULTS = [
    "tuned.json",
    "claims.csv",
    "shape_claims.csv",
    "heads.json",
    "latency.csv",
    "arena/replay.csv",
    "requests/main.csv",
    "requests/peers.csv",
    "requests/draft_cache.csv",
    f"bounds/{TRACED}.csv",
    "summary/facts.json",
    "summary/compression.csv",
    "summary/passkey.csv",
    *expand("summary/{name}.csv", name=config["experiments"]),
]
SNAPSHOT = Path(
    "results/snapshots/gpu"
)  # of a proof on a GPU; empty before one has run
GPU = sorted(
    str(path) for path in SNAPSHOT.glob("*") if path.suffix in (".csv", ".json")
)
PUBLISHED = sorted(str(path) for path in Path("results/published").glob("*.csv"))
INCLUDED = [
    *expand(f"results/{RUN}/tables/{{name}}.tex", name=[*TABLES, "claims"]),
    *expand(f"figures/{RUN}/{{name}}.pdf", name=FIGURES),
]


rule render_paper:
    input:
        templates=TEMPLATES,
        results=expand(f"results/{RUN}/{{file}}", file=RESULTS),
        published=PUBLISHED,
        gpu=GPU,
        claims="config/claims.yaml",
        included=INCLUDED,
    output:
        tex=f"paper/{RUN}/dynatree.tex",
        numbers=f"paper/{RUN}/numbers.csv",
    log:
        f"results/{RUN}/logs/render_paper.log",
    params:
        **code_of("scripts/render_paper.py"),
        config=literal({key: config[key] for key in SHOWN}),
        results=lambda wildcards: f"results/{RUN}",
        figures=lambda wildcards: f"figures/{RUN}",
    shell:
        "python scripts/render_paper.py --config {params.config:q} --input {input.results:q} {input.published:q} {input.gpu:q}"
        " --claims {input.claims:q}"
        " --results {params.results:q} --figures {params.figures:q} --output {output.tex:q} --numbers {output.numbers:q}"
        " >{log:q} 2>&1"


rule compile_paper:
    input:
        tex=f"paper/{RUN}/dynatree.tex",
        bibliography="paper/references.bib",
        included=INCLUDED,
    output:
        report(
            f"paper/{RUN}/dynatree.pdf",
            caption="../report/paper.rst",
            category="Paper",
            labels={"paper": "PDF"},
        ),
    log:
        f"results/{RUN}/logs/compile_paper.log",
    params:
        **code_of("scripts/compile_paper.py"),
        folder=subpath(input.tex, parent=True),
    shell:
        "python scripts/compile_paper.py --folder {params.folder:q} --bibliography {input.bibliography:q}"
        " --included {input.included:q} >{log:q} 2>&1"
