rule prepare_prompts:
    input:
        texts=texts,
        target=f"{model_folder('target')}/MANIFEST.sha256",
    output:
        f"results/{RUN}/prompts/{{dataset}}.json",
    log:
        f"results/{RUN}/logs/prepare_prompts/{{dataset}}.log",
    params:
        source=prompt_settings,
        limits=lambda wildcards: json.dumps(PLAN.prompt_limits(wildcards.dataset)),
        tokenizer=subpath(input.target, parent=True),
        code=code_hash("scripts/prepare_prompts.py"),
        libraries=libraries("scripts/prepare_prompts.py"),
    shell:
        "python scripts/prepare_prompts.py --source {params.source:q} --tokenizer {params.tokenizer:q}"
        " --limits {params.limits:q} --output {output:q} >{log:q} 2>&1"
