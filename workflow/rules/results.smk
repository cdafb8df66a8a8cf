rule summarize:
    input:
        records=lambda wildcards: records_of(wildcards.experiment),
        latency=f"results/{RUN}/latency.csv",
    output:
        requests=f"results/{RUN}/requests/{{experiment}}.csv",
        summary=f"results/{RUN}/summary/{{experiment}}.csv",
    log:
        f"results/{RUN}/logs/summarize/{{experiment}}.log",
    wildcard_constraints:
        experiment=any_of(MEASURED),
    params:
        **code_of("scripts/summarize.py"),
        formats=lambda wildcards: (
            ["--mixed-formats"] if wildcards.experiment == "dtypes" else []
        ),
    shell:
        "python scripts/summarize.py --records {input.records:q} --latency {input.latency:q} {params.formats:q} --requests {output.requests:q}"
        " --summary {output.summary:q} >{log:q} 2>&1"


# The oracle bound of tree sizes, from the traces of `peers`.
rule bound_sizes:
    input:
        records=records_of(TRACED),
        latency=f"results/{RUN}/latency.csv",
    output:
        f"results/{RUN}/bounds/{TRACED}.csv",
    log:
        f"results/{RUN}/logs/bound_sizes.log",
    params:
        **code_of("scripts/bound_sizes.py"),
    shell:
        "python scripts/bound_sizes.py --records {input.records:q} --latency {input.latency:q} --bounds {output:q}"
        " >{log:q} 2>&1"


rule summarize_memory:
    input:
        expand(
            f"results/{RUN}/records/memory-{{dataset}}.csv",
            dataset=config["experiments"]["memory"]["datasets"],
        ),
    output:
        f"results/{RUN}/summary/memory.csv",
    log:
        f"results/{RUN}/logs/summarize_memory.log",
    params:
        **code_of("scripts/summarize_memory.py"),
    shell:
        "python scripts/summarize_memory.py --measured {input:q} --summary {output:q} >{log:q} 2>&1"


rule summarize_compression:
    input:
        expand(
            f"results/{RUN}/compression/{{dataset}}.json",
            dataset=config["compression"]["datasets"],
        ),
    output:
        requests=f"results/{RUN}/requests/compression.csv",
        summary=f"results/{RUN}/summary/compression.csv",
        growth=f"results/{RUN}/summary/cache_growth.csv",
        passkey=f"results/{RUN}/summary/passkey.csv",
    log:
        f"results/{RUN}/logs/summarize_compression.log",
    params:
        **code_of("scripts/summarize_compression.py"),
    shell:
        "python scripts/summarize_compression.py --measured {input:q} --requests {output.requests:q}"
        " --summary {output.summary:q} --growth {output.growth:q} --passkey {output.passkey:q} >{log:q} 2>&1"


rule collect_facts:
    input:
        expand(f"results/{RUN}/records/{{job}}.json", job=JOBS),
    output:
        json=f"results/{RUN}/summary/facts.json",
        html=report(
            f"results/{RUN}/environment.html",
            caption="../report/environment.rst",
            category="Run",
            labels={"page": "environment"},
        ),
    log:
        f"results/{RUN}/logs/collect_facts.log",
    params:
        **code_of("scripts/collect_facts.py"),
    shell:
        "python scripts/collect_facts.py --records {input:q} --output {output.json:q} --html {output.html:q}"
        " >{log:q} 2>&1"


rule choose_settings:
    input:
        f"results/{RUN}/summary/sweep.csv",
    output:
        report(
            TUNED,
            caption="../report/tuned.rst",
            category="Tables",
            subcategory="Settings",
            labels={"table": "tuned settings", "format": "JSON"},
        ),
    log:
        f"results/{RUN}/logs/choose_settings.log",
    params:
        **code_of("scripts/choose_settings.py"),
    shell:
        "python scripts/choose_settings.py --summary {input:q} --output {output:q} >{log:q} 2>&1"


rule table:
    input:
        lambda wildcards: inputs_of(TABLES[wildcards.name]),
    output:
        csv=report(
            f"results/{RUN}/tables/{{name}}.csv",
            caption="../report/table.rst",
            category="Tables",
            subcategory=lambda wildcards: TABLES[wildcards.name].section,
            labels={"table": "{name}", "format": "CSV"},
        ),
        tex=f"results/{RUN}/tables/{{name}}.tex",
    log:
        f"results/{RUN}/logs/table/{{name}}.log",
    wildcard_constraints:
        name=any_of(TABLES),
    params:
        **code_of("scripts/table.py", "dynatree/analysis/tables/{name}.py"),
        # A function of the output, so that a new caption does not rerun the rule.
        caption=lambda wildcards, output: TABLES[wildcards.name].caption,
        labels=lambda wildcards: labels_of(TABLES[wildcards.name]),
    shell:
        "python scripts/table.py {wildcards.name:q} --input {input:q} --labels {params.labels:q} --csv {output.csv:q}"
        " --tex {output.tex:q} >{log:q} 2>&1"


rule figure:
    input:
        lambda wildcards: inputs_of(FIGURES[wildcards.name]),
    output:
        pdf=f"figures/{RUN}/{{name}}.pdf",
        png=report(
            f"figures/{RUN}/{{name}}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory=lambda wildcards: FIGURES[wildcards.name].section,
            labels={"figure": "{name}"},
        ),
    log:
        f"results/{RUN}/logs/figure/{{name}}.log",
    wildcard_constraints:
        name=any_of(FIGURES),
    params:
        **code_of("scripts/figure.py", "dynatree/analysis/figures/{name}.py"),
        caption=lambda wildcards, output: FIGURES[wildcards.name].caption,
        labels=lambda wildcards: labels_of(FIGURES[wildcards.name]),
    shell:
        "python scripts/figure.py {wildcards.name:q} --input {input:q} --labels {params.labels:q} --pdf {output.pdf:q}"
        " --png {output.png:q} >{log:q} 2>&1"


rule judge_claims:
    input:
        claims="config/claims.yaml",
        requests=expand(
            f"results/{RUN}/requests/{{name}}.csv",
            name=[*MEASURED, "compression"],
        ),
        summaries=expand(
            f"results/{RUN}/summary/{{name}}.csv", name=config["experiments"]
        ),
        shapes=f"results/{RUN}/arena/shapes.csv",
    output:
        csv=report(
            f"results/{RUN}/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"ledger": "as data", "format": "CSV"},
        ),
        html=report(
            f"results/{RUN}/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"ledger": "to read", "format": "HTML"},
        ),
        tex=f"results/{RUN}/tables/claims.tex",
        shapes=f"results/{RUN}/shape_claims.csv",
    log:
        f"results/{RUN}/logs/judge_claims.log",
    params:
        **code_of("scripts/judge_claims.py"),
        run=literal(
            {key: config[key] for key in ("device", "dtype", "models", "prompts")}
        ),
    shell:
        "python scripts/judge_claims.py --claims {input.claims:q} --requests {input.requests:q}"
        " --summaries {input.summaries:q} --run {params.run:q} --csv {output.csv:q} --tex {output.tex:q}"
        " --html {output.html:q} --shapes {input.shapes:q} --shape-claims {output.shapes:q} >{log:q} 2>&1"


rule write_report_pages:
    input:
        claims=f"results/{RUN}/claims.csv",
        headline=f"figures/{RUN}/peers.png",
        tree=f"results/{RUN}/tree.json",
        text_template="workflow/report/workflow.rst",
        round_template="workflow/report/round.html",
    output:
        text=f"results/{RUN}/report.rst",
        round=report(
            f"results/{RUN}/round.html",
            caption="../report/round.rst",
            category="Round",
            labels={"round": "step by step"},
        ),
    log:
        f"results/{RUN}/logs/write_report_pages.log",
    params:
        **code_of("scripts/write_report_pages.py"),
    shell:
        "python scripts/write_report_pages.py --claims {input.claims:q} --headline {input.headline:q}"
        " --tree {input.tree:q} --text-template {input.text_template:q} --round-template {input.round_template:q}"
        " --text {output.text:q} --round {output.round:q} >{log:q} 2>&1"
