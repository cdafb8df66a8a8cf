TEMPLATES = sorted(str(path) for path in Path("paper").glob("*.tex.j2"))


rule render_paper:
    input:
        templates=TEMPLATES,
        summary=f"results/{RUN}/summary/main.csv",
        facts=f"results/{RUN}/summary/facts.json",
        published="results/published/main.csv",
        table=f"results/{RUN}/tables/main.tex",
        figure=f"figures/{RUN}/main.pdf",
    output:
        f"paper/{RUN}/dynatree.tex",
    log:
        f"results/{RUN}/logs/render_paper.log",
    conda:
        "../../envs/conda.yaml"
    params:
        slice=paper_slice,
        code=code_hash("scripts/render_paper.py"),
    shell:
        "python scripts/render_paper.py --config {params.slice:q} --summary {input.summary:q} --facts {input.facts:q}"
        " --published {input.published:q} --table {input.table:q} --figure {input.figure:q} --output {output:q} >{log} 2>&1"


rule compile_paper:
    input:
        tex=f"paper/{RUN}/dynatree.tex",
        bibliography="paper/references.bib",
        table=f"results/{RUN}/tables/main.tex",
        figure=f"figures/{RUN}/main.pdf",
    output:
        f"paper/{RUN}/dynatree.pdf",
    log:
        f"results/{RUN}/logs/compile_paper.log",
    conda:
        "../../envs/conda.yaml"
    params:
        folder=subpath(input.tex, parent=True),
        code=code_hash("scripts/compile_paper.py"),
    shell:
        "python scripts/compile_paper.py --folder {params.folder:q} --bibliography {input.bibliography:q} >{log} 2>&1"
