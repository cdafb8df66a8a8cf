# Distill the shipped draft again, from the target alone. The rule `all` does not need it.
RECIPE = config["distillation"]


rule sample_text:
    input:
        target=f"{model_folder('target')}/MANIFEST.sha256",
        openings="dynatree/distillation/openings.yaml",
    output:
        touch(f"results/{RUN}/distillation/samples/complete"),
    log:
        f"results/{RUN}/logs/sample_text.log",
    threads: config["threads"]
    resources:
        slots=100,
    params:
        recipe=arguments(RECIPE, "shards", "sequences", "length", "seed"),
        target=subpath(input.target, parent=True),
        folder=subpath(output[0], parent=True),
        code=code_hash("scripts/sample_text.py"),
        libraries=libraries("scripts/sample_text.py"),
    shell:
        "python scripts/sample_text.py --target {params.target:q} --output {params.folder:q} {params.recipe:q}"
        " --threads {threads} 2>&1 | tee {log:q}"


rule distill_draft:
    input:
        target=f"{model_folder('target')}/MANIFEST.sha256",
        openings="dynatree/distillation/openings.yaml",
        samples=f"results/{RUN}/distillation/samples/complete",
    output:
        f"results/{RUN}/distillation/draft/model.safetensors",
    log:
        f"results/{RUN}/logs/distill_draft.log",
    threads: config["threads"]
    resources:
        slots=100,
    params:
        recipe=arguments(RECIPE, "layers", "vocabulary", "steps", "seed"),
        target=subpath(input.target, parent=True),
        samples=subpath(input.samples, parent=True),
        folder=subpath(output[0], parent=True),
        code=code_hash("scripts/distill_draft.py"),
        libraries=libraries("scripts/distill_draft.py"),
    shell:
        "python scripts/distill_draft.py --target {params.target:q} --samples {params.samples:q}"
        " --output {params.folder:q} {params.recipe:q} --threads {threads} 2>&1 | tee {log:q}"


rule distill:
    input:
        f"results/{RUN}/distillation/draft/model.safetensors",
    localrule: True
