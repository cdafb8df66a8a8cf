# What each table and figure is made of: the original's numbers below results/, everything else below results/RUN/.
TABLES = {
    "main": ["summary/main.csv"],
    "comparisons": ["requests/main.csv"],
    "peers": ["requests/peers.csv"],
    "draft_cache": ["requests/draft_cache.csv"],
    "bound": ["bounds/peers.csv"],
    "forwards": ["latency.csv"],
    "heads": ["heads.csv"],
    "compression": ["summary/compression.csv"],
    "cache_times": ["summary/compression.csv"],
    "passkey": ["summary/passkey.csv"],
    "compression_published": ["summary/compression.csv", "published/compression.csv"],
    "latency": ["summary/main.csv"],
    "efficiency": ["summary/main.csv"],
    "memory": ["summary/memory.csv"],
    "sweep": ["summary/sweep.csv"],
    "ablation": ["summary/ablation.csv"],
    "pruning": ["summary/pruning.csv"],
    "sensitivity": ["summary/sensitivity.csv"],
    "length": ["summary/length.csv"],
    "prompt_length": ["summary/prompt_length.csv"],
    "dtypes": ["summary/dtypes.csv"],
    "reproduction": ["summary/main.csv", "published/main.csv"],
}
FIGURES = {
    "paradigms": [],
    "round": [],
    "policy": [],
    "tree": ["tree.json"],
    "main": ["summary/main.csv"],
    "prompts": ["requests/main.csv"],
    "peers": ["requests/peers.csv"],
    "draft_cache": ["requests/draft_cache.csv"],
    "forwards": ["latency.csv"],
    "heads": ["heads.csv"],
    "head_kinds": ["heads.csv"],
    "compression": ["summary/compression.csv"],
    "cache_growth": ["summary/cache_growth.csv"],
    "passkey": ["summary/passkey.csv"],
    "latency": ["summary/main.csv"],
    "efficiency": ["summary/main.csv"],
    "memory": ["summary/memory.csv"],
    "sweep": ["summary/sweep.csv"],
    "ablation": ["summary/ablation.csv"],
    "pruning": ["summary/pruning.csv"],
    "sensitivity": ["summary/sensitivity.csv"],
    "length": ["summary/length.csv"],
    "prompt_length": ["summary/prompt_length.csv"],
    "dtypes": ["summary/dtypes.csv"],
}


rule summarise:
    input:
        lambda wildcards: records_of(wildcards.experiment),
    output:
        requests=f"results/{RUN}/requests/{{experiment}}.csv",
        summary=f"results/{RUN}/summary/{{experiment}}.csv",
    log:
        f"results/{RUN}/logs/summarise/{{experiment}}.log",
    wildcard_constraints:
        experiment=any_of(MEASURED),
    params:
        formats=lambda wildcards: (
            ["--mixed-formats"] if wildcards.experiment == "dtypes" else []
        ),
        code=code_hash("scripts/summarise.py"),
        libraries=libraries("scripts/summarise.py"),
    shell:
        "python scripts/summarise.py --records {input:q} {params.formats:q} --requests {output.requests:q}"
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
        code=code_hash("scripts/bound_sizes.py"),
        libraries=libraries("scripts/bound_sizes.py"),
    shell:
        "python scripts/bound_sizes.py --records {input.records:q} --latency {input.latency:q} --bounds {output:q}"
        " >{log:q} 2>&1"


rule summarise_memory:
    input:
        expand(
            f"results/{RUN}/records/memory-{{dataset}}.csv",
            dataset=config["experiments"]["memory"]["datasets"],
        ),
    output:
        f"results/{RUN}/summary/memory.csv",
    log:
        f"results/{RUN}/logs/summarise_memory.log",
    params:
        code=code_hash("scripts/summarise_memory.py"),
        libraries=libraries("scripts/summarise_memory.py"),
    shell:
        "python scripts/summarise_memory.py --measured {input:q} --summary {output:q} >{log:q} 2>&1"


rule summarise_compression:
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
        f"results/{RUN}/logs/summarise_compression.log",
    params:
        code=code_hash("scripts/summarise_compression.py"),
        libraries=libraries("scripts/summarise_compression.py"),
    shell:
        "python scripts/summarise_compression.py --measured {input:q} --requests {output.requests:q}"
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
        code=code_hash("scripts/collect_facts.py"),
        libraries=libraries("scripts/collect_facts.py"),
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
        code=code_hash("scripts/choose_settings.py"),
        libraries=libraries("scripts/choose_settings.py"),
    shell:
        "python scripts/choose_settings.py --summary {input:q} --output {output:q} >{log:q} 2>&1"


rule table:
    input:
        lambda wildcards: places(TABLES[wildcards.name]),
    output:
        csv=report(
            f"results/{RUN}/tables/{{name}}.csv",
            caption="../report/table.rst",
            category="Tables",
            subcategory=subject,
            labels={"table": "{name}", "format": "CSV"},
        ),
        tex=f"results/{RUN}/tables/{{name}}.tex",
    log:
        f"results/{RUN}/logs/table/{{name}}.log",
    wildcard_constraints:
        name=any_of(TABLES),
    params:
        labels=lambda wildcards: labels_of(TABLES[wildcards.name]),
        code=lambda wildcards: code_hash(f"scripts/tables/{wildcards.name}.py"),
        libraries=lambda wildcards: libraries(f"scripts/tables/{wildcards.name}.py"),
    shell:
        "python scripts/tables/{wildcards.name:q}.py --input {input:q} --labels {params.labels:q} --csv {output.csv:q} --tex {output.tex:q}"
        " >{log:q} 2>&1"


rule figure:
    input:
        lambda wildcards: places(FIGURES[wildcards.name]),
    output:
        pdf=f"figures/{RUN}/{{name}}.pdf",
        png=report(
            f"figures/{RUN}/{{name}}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory=subject,
            labels={"figure": "{name}"},
        ),
    log:
        f"results/{RUN}/logs/figure/{{name}}.log",
    wildcard_constraints:
        name=any_of(FIGURES),
    params:
        labels=lambda wildcards: labels_of(FIGURES[wildcards.name]),
        code=lambda wildcards: code_hash(f"scripts/figures/{wildcards.name}.py"),
        libraries=lambda wildcards: libraries(f"scripts/figures/{wildcards.name}.py"),
    shell:
        "python scripts/figures/{wildcards.name:q}.py --input {input:q} --labels {params.labels:q} --pdf {output.pdf:q} --png {output.png:q}"
        " >{log:q} 2>&1"


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
    log:
        f"results/{RUN}/logs/judge_claims.log",
    params:
        run=literal({key: config[key] for key in ("device", "dtype", "models")}),
        code=code_hash("scripts/judge_claims.py"),
        libraries=libraries("scripts/judge_claims.py"),
    shell:
        "python scripts/judge_claims.py --claims {input.claims:q} --requests {input.requests:q}"
        " --summaries {input.summaries:q} --run {params.run:q} --csv {output.csv:q} --tex {output.tex:q}"
        " --html {output.html:q} >{log:q} 2>&1"
