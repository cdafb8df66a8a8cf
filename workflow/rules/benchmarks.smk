MODELS = {role: f"{model_folder(role)}/MANIFEST.sha256" for role in ("target", "draft")}
TARGET = ["--target", model_folder("target")]
PAIR = [*TARGET, "--draft", model_folder("draft")]
EXCLUSIVE = ["--exclusive"] if config["protocol"]["exclusive"] else []
ALONE = {  # resources of the rules that load a model
    "slots": SLOTS,
    "gpu": 1 if config["device"] != "cpu" else 0,
    "mem_mb": 4000,
}

# A measurement needs all cores. Tables and figures that are ready would delay the next one each on its own.
MEASURE_FIRST = 1


rule measure:
    input:
        **MODELS,
        prompts=lambda wildcards: f"results/{RUN}/prompts/{JOBS[wildcards.job].dataset}.json",
        tuned=lambda wildcards: tuned_options(JOBS[wildcards.job]),
        gguf=lambda wildcards: gguf_of_target(JOBS[wildcards.job]),
    output:
        f"results/{RUN}/records/{{job}}.json",
    log:
        f"results/{RUN}/logs/measure/{{job}}.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        job=lambda wildcards: as_parameter(JOBS[wildcards.job]),
        journal=f"results/{RUN}/journals/{{job}}.jsonl",
        tuned=lambda wildcards, input: ["--tuned", input.tuned] if input.tuned else [],
        gguf=lambda wildcards, input: (
            ["--gguf", str(Path(input.gguf).parent)] if input.gguf else []
        ),
        pair=PAIR,
        alone=EXCLUSIVE,
        threads=config["threads"],  # another number of threads repeats the measurement
        code=code_hash("scripts/benchmark.py"),
        libraries=libraries("scripts/benchmark.py"),
    shell:
        "python scripts/benchmark.py --job {params.job:q} {params.tuned:q} {params.gguf:q} {params.pair:q} --prompts {input.prompts:q}"
        " --journal {params.journal:q} --output {output:q} --code {params.code:q} --threads {threads} {params.alone:q}"
        " 2>&1 | tee {log:q}"


rule measure_memory:
    input:
        **MODELS,
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
        tuned=lambda wildcards: tuned_options(PLAN.memory[wildcards.dataset]),
    output:
        f"results/{RUN}/records/memory-{{dataset}}.csv",
    log:
        f"results/{RUN}/logs/measure_memory/{{dataset}}.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        job=lambda wildcards: as_parameter(PLAN.memory[wildcards.dataset]),
        tuned=lambda wildcards, input: ["--tuned", input.tuned] if input.tuned else [],
        pair=PAIR,
        threads=config["threads"],
        code=code_hash("scripts/measure_memory.py"),
        libraries=libraries("scripts/measure_memory.py"),
    shell:
        "python scripts/measure_memory.py --job {params.job:q} {params.tuned:q} {params.pair:q}"
        " --prompts {input.prompts:q} --output {output:q} --threads {threads} >{log:q} 2>&1"


# Latency of forward passes by width, for stock layers and for the layers that the run uses.
rule measure_latency:
    input:
        **MODELS,
    output:
        f"results/{RUN}/latency.csv",
    log:
        f"results/{RUN}/logs/measure_latency.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        where=arguments(config, "device", "dtype"),
        layers=config["backend"],
        pair=PAIR,
        alone=EXCLUSIVE,
        threads=config["threads"],
        code=code_hash("scripts/measure_latency.py"),
        libraries=libraries("scripts/measure_latency.py"),
    shell:
        "python scripts/measure_latency.py {params.where:q} --layers {params.layers:q} {params.pair:q}"
        " --output {output:q} --threads {threads} {params.alone:q} >{log:q} 2>&1"


# Attention statistics and kinds of the target's heads.
rule analyze_heads:
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
        f"results/{RUN}/logs/analyze_heads.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        settings=literal(
            {
                key: config["heads"][key]
                for key in ("tokens", "sinks", "local", "recent")
            }
        ),
        where=arguments(config, "device", "dtype"),
        target=TARGET,
        code=code_hash("scripts/analyze_heads.py"),
        libraries=libraries("scripts/analyze_heads.py"),
    shell:
        "python scripts/analyze_heads.py --settings {params.settings:q} {params.where:q} {params.target:q}"
        " --prompts {input.prompts:q} --output {output.json:q} --csv {output.csv:q} --threads {threads} >{log:q} 2>&1"


# Perplexity, memory and latency with a compressed cache. A stale job is measured again from its start.
rule measure_compression:
    input:
        target=MODELS["target"],
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
        heads=f"results/{RUN}/heads.json" if needs_heads(config) else [],
    output:
        f"results/{RUN}/compression/{{dataset}}.json",
    log:
        f"results/{RUN}/logs/measure_compression/{{dataset}}.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        job=lambda wildcards: json.dumps(compression_job(config, wildcards.dataset)),
        heads=lambda wildcards, input: ["--heads", input.heads] if input.heads else [],
        where=arguments(config, "device", "dtype", "backend"),
        target=TARGET,
        alone=EXCLUSIVE,
        threads=config["threads"],
        code=code_hash("scripts/measure_compression.py"),
        libraries=libraries("scripts/measure_compression.py"),
    shell:
        "python scripts/measure_compression.py --job {params.job:q} {params.heads:q} {params.where:q} {params.target:q}"
        " --prompts {input.prompts:q} --output {output:q} --threads {threads} {params.alone:q} 2>&1 | tee {log:q}"


# A drafted tree of a measured round, for a figure.
rule draft_tree:
    input:
        **MODELS,
        prompts=f"results/{RUN}/prompts/{config['experiments']['main']['datasets'][0]}.json",
    output:
        f"results/{RUN}/tree.json",
    log:
        f"results/{RUN}/logs/draft_tree.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        options=literal(config["methods"]["dynatree"]["options"]),
        where=arguments(config, "device", "dtype", "backend"),
        pair=PAIR,
        code=code_hash("scripts/draft_tree.py"),
        libraries=libraries("scripts/draft_tree.py"),
    shell:
        "python scripts/draft_tree.py --options {params.options:q} {params.where:q} {params.pair:q}"
        " --prompts {input.prompts:q} --output {output:q} --threads {threads} >{log:q} 2>&1"
