rule summarise_main:
    input:
        expand(f"results/{RUN}/records/main/{{dataset}}.json", dataset=DATASETS),
    output:
        summary=f"results/{RUN}/summary/main.csv",
        facts=f"results/{RUN}/summary/facts.json",
    log:
        f"results/{RUN}/logs/summarise_main.log",
    conda:
        "../../envs/conda.yaml"
    params:
        code=code_hash("scripts/summarise.py"),
    shell:
        "python scripts/summarise.py --records {input:q} --summary {output.summary:q} --facts {output.facts:q}"
        " >{log} 2>&1"


rule table_main:
    input:
        f"results/{RUN}/summary/main.csv",
    output:
        csv=f"results/{RUN}/tables/main.csv",
        tex=f"results/{RUN}/tables/main.tex",
    log:
        f"results/{RUN}/logs/table_main.log",
    conda:
        "../../envs/conda.yaml"
    params:
        code=code_hash("scripts/tables.py"),
    shell:
        "python scripts/tables.py --summary {input:q} --csv {output.csv:q} --tex {output.tex:q} >{log} 2>&1"


rule figure_main:
    input:
        f"results/{RUN}/summary/main.csv",
    output:
        pdf=f"figures/{RUN}/main.pdf",
        png=f"figures/{RUN}/main.png",
    log:
        f"results/{RUN}/logs/figure_main.log",
    conda:
        "../../envs/conda.yaml"
    params:
        code=code_hash("scripts/figures.py"),
    shell:
        "python scripts/figures.py --summary {input:q} --pdf {output.pdf:q} --png {output.png:q} >{log} 2>&1"
