rule measure_main:
    input:
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
        target=f"{model_folder('target')}/MANIFEST.sha256",
        draft=f"{model_folder('draft')}/MANIFEST.sha256",
    output:
        f"results/{RUN}/records/main/{{dataset}}.json",
    log:
        f"results/{RUN}/logs/measure_main/{{dataset}}.log",
    conda:
        "../../envs/conda.yaml"
    threads: config["threads"]
    resources:
        slots=100,
        gpu=1 if config["device"] != "cpu" else 0,
        mem_mb=4000,
    params:
        slice=main_slice,
        target=subpath(input.target, parent=True),
        draft=subpath(input.draft, parent=True),
        code=code_hash("scripts/benchmark.py"),
    shell:
        "python scripts/benchmark.py --config {params.slice:q} --target {params.target:q} --draft {params.draft:q}"
        " --prompts {input.prompts:q} --output {output:q} --code {params.code} --threads {threads} 2>&1 | tee {log}"
