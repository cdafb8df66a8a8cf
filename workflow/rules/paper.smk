TEMPLATES = sorted(str(path) for path in Path("paper").glob("*.tex.j2"))
PUBLISHED = sorted(str(path) for path in Path("results/published").glob("*.csv"))
INCLUDED = [
    *expand(f"results/{RUN}/tables/{{name}}.tex", name=[*TABLES, "claims"]),
    *expand(f"figures/{RUN}/{{name}}.pdf", name=FIGURES),
]


rule render_paper:
    input:
        templates=TEMPLATES,
        summaries=expand(
            f"results/{RUN}/summary/{{name}}.csv", name=config["experiments"]
        ),
        facts=f"results/{RUN}/summary/facts.json",
        tuned=TUNED,
        claims=f"results/{RUN}/claims.csv",
        requests=f"results/{RUN}/requests/main.csv",
        peers=f"results/{RUN}/requests/peers.csv",
        draft_cache=f"results/{RUN}/requests/draft_cache.csv",
        bounds=f"results/{RUN}/bounds/{TRACED}.csv",
        heads=f"results/{RUN}/heads.json",
        compression=f"results/{RUN}/summary/compression.csv",
        passkey=f"results/{RUN}/summary/passkey.csv",
        published=PUBLISHED,
        included=INCLUDED,
    output:
        f"paper/{RUN}/dynatree.tex",
    log:
        f"results/{RUN}/logs/render_paper.log",
    params:
        config=literal(
            {
                key: config[key]
                for key in (
                    "run",
                    "device",
                    "dtype",
                    "backend",
                    "threads",
                    "models",
                    "prompts",
                    "protocol",
                    "compression",
                    "experiments",
                    "methods",
                )
            }
        ),
        folders=["--tables", f"results/{RUN}/tables", "--figures", f"figures/{RUN}"],
        code=code_hash("scripts/render_paper.py"),
        libraries=libraries("scripts/render_paper.py"),
    shell:
        "python scripts/render_paper.py --config {params.config:q} --summaries {input.summaries:q} --facts {input.facts:q}"
        " --tuned {input.tuned:q} --claims {input.claims:q} --requests {input.requests:q} --peers {input.peers:q}"
        " --draft_cache {input.draft_cache:q}"
        " --bounds {input.bounds:q} --heads {input.heads:q}"
        " --compression {input.compression:q} --passkey {input.passkey:q} --published {input.published:q}"
        " {params.folders:q} --output {output:q} >{log:q} 2>&1"


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
        folder=subpath(input.tex, parent=True),
        code=code_hash("scripts/compile_paper.py"),
        libraries=libraries("scripts/compile_paper.py"),
    shell:
        "python scripts/compile_paper.py --folder {params.folder:q} --bibliography {input.bibliography:q}"
        " --included {input.included:q} >{log:q} 2>&1"
