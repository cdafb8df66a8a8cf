MODELS = {
    "target": f"{model_folder('target')}/MANIFEST.sha256",
    "draft": f"{model_folder('draft')}/MANIFEST.sha256",
}


rule measure:
    input:
        **MODELS,
        prompts=lambda wildcards: f"results/{RUN}/prompts/{JOBS[wildcards.job].dataset}.json",
        tuned=lambda wildcards: tuned_options(JOBS[wildcards.job]),
    output:
        f"results/{RUN}/records/{{job}}.json",
    log:
        f"results/{RUN}/logs/measure/{{job}}.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        job=lambda wildcards: as_parameter(JOBS[wildcards.job]),
        journal=f"results/{RUN}/journals/{{job}}.jsonl",
        alone=["--exclusive"] if config["protocol"]["exclusive"] else [],
        tuned=lambda wildcards, input: ["--tuned", input.tuned] if input.tuned else [],
        target=subpath(input.target, parent=True),
        draft=subpath(input.draft, parent=True),
        threads=config["threads"],  # a timing with other threads is another one
        code=code_hash("scripts/benchmark.py"),
        libraries=libraries("scripts/benchmark.py"),
    shell:
        "python scripts/benchmark.py --job {params.job:q} {params.tuned:q} --target {params.target:q}"
        " --draft {params.draft:q} --prompts {input.prompts:q} --journal {params.journal:q} --output {output:q}"
        " --code {params.code:q} --threads {threads} {params.alone:q} 2>&1 | tee {log:q}"


rule measure_memory:
    input:
        **MODELS,
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
        tuned=lambda wildcards: tuned_options(PLAN.memory[wildcards.dataset]),
    output:
        f"results/{RUN}/records/memory-{{dataset}}.csv",
    log:
        f"results/{RUN}/logs/measure_memory/{{dataset}}.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        job=lambda wildcards: as_parameter(PLAN.memory[wildcards.dataset]),
        tuned=lambda wildcards, input: ["--tuned", input.tuned] if input.tuned else [],
        target=subpath(input.target, parent=True),
        draft=subpath(input.draft, parent=True),
        threads=config["threads"],
        code=code_hash("scripts/measure_memory.py"),
        libraries=libraries("scripts/measure_memory.py"),
    shell:
        "python scripts/measure_memory.py --job {params.job:q} {params.tuned:q} --target {params.target:q}"
        " --draft {params.draft:q} --prompts {input.prompts:q} --output {output:q} --threads {threads} >{log:q} 2>&1"


# What passes over few and many tokens take, in stock layers and in those that the run uses.
rule measure_latency:
    input:
        **MODELS,
    output:
        f"results/{RUN}/latency.csv",
    log:
        f"results/{RUN}/logs/measure_latency.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        where=arguments(config, "device", "dtype", "backend"),
        alone=["--exclusive"] if config["protocol"]["exclusive"] else [],
        target=subpath(input.target, parent=True),
        draft=subpath(input.draft, parent=True),
        threads=config["threads"],
        code=code_hash("scripts/measure_latency.py"),
        libraries=libraries("scripts/measure_latency.py"),
    shell:
        "python scripts/measure_latency.py {params.where:q} --target {params.target:q} --draft {params.draft:q}"
        " --output {output:q} --threads {threads} {params.alone:q} >{log:q} 2>&1"


# Where each attention head of the target looks.
rule analyse_heads:
    input:
        target=MODELS["target"],
        prompts=expand(
            f"results/{RUN}/prompts/{{dataset}}.json",
            dataset=config["heads"]["datasets"],
        ),
    output:
        json=f"results/{RUN}/heads.json",
        csv=f"results/{RUN}/heads.csv",
    log:
        f"results/{RUN}/logs/analyse_heads.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        settings=literal(
            {
                key: config["heads"][key]
                for key in ("tokens", "sinks", "local", "recent")
            }
        ),
        where=arguments(config, "device", "dtype"),
        target=subpath(input.target, parent=True),
        code=code_hash("scripts/analyse_heads.py"),
        libraries=libraries("scripts/analyse_heads.py"),
    shell:
        "python scripts/analyse_heads.py --settings {params.settings:q} {params.where:q} --target {params.target:q}"
        " --prompts {input.prompts:q} --output {output.json:q} --csv {output.csv:q} --threads {threads} >{log:q} 2>&1"


# Perplexity, memory and times with a compressed cache. A job that is stale is measured again as a whole.
rule measure_compression:
    input:
        target=MODELS["target"],
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
        heads=f"results/{RUN}/heads.json" if needs_heads(config) else [],
    output:
        f"results/{RUN}/compression/{{dataset}}.json",
    log:
        f"results/{RUN}/logs/measure_compression/{{dataset}}.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        job=lambda wildcards: json.dumps(compression_job(config, wildcards.dataset)),
        heads=lambda wildcards, input: ["--heads", input.heads] if input.heads else [],
        alone=["--exclusive"] if config["protocol"]["exclusive"] else [],
        target=subpath(input.target, parent=True),
        threads=config["threads"],
        code=code_hash("scripts/measure_compression.py"),
        libraries=libraries("scripts/measure_compression.py"),
    shell:
        "python scripts/measure_compression.py --job {params.job:q} {params.heads:q} --target {params.target:q}"
        " --prompts {input.prompts:q} --output {output:q} --threads {threads} {params.alone:q} 2>&1 | tee {log:q}"


# A real drafted tree for the paper.
rule draft_tree:
    input:
        **MODELS,
        prompts=f"results/{RUN}/prompts/{config['experiments']['main']['datasets'][0]}.json",
    output:
        f"results/{RUN}/tree.json",
    log:
        f"results/{RUN}/logs/draft_tree.log",
    threads: config["threads"]
    resources:
        slots=SLOTS,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        options=literal(config["methods"]["dynatree"]["options"]),
        where=["--device", config["device"], "--dtype", config["dtype"]],
        target=subpath(input.target, parent=True),
        draft=subpath(input.draft, parent=True),
        code=code_hash("scripts/draft_tree.py"),
        libraries=libraries("scripts/draft_tree.py"),
    shell:
        "python scripts/draft_tree.py --options {params.options:q} {params.where:q} --target {params.target:q}"
        " --draft {params.draft:q} --prompts {input.prompts:q} --output {output:q} --threads {threads} >{log:q} 2>&1"
