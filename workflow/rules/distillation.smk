# Distill the shipped draft again, from the target alone, in stages. The rule `all` does not need it.
RECIPE = config["distillation"]
STAGES = RECIPE["stages"]
STAGE = f"results/{RUN}/distillation/{{stage}}"


rule sample_text:
    input:
        target=f"{model_folder('target')}/MANIFEST.sha256",
        openings="dynatree/distillation/openings.yaml",
        chat="dynatree/distillation/chat.yaml",
    output:
        touch(f"{STAGE}/samples/complete"),
    log:
        f"results/{RUN}/logs/sample_text-{{stage}}.log",
    wildcard_constraints:
        stage="[1-9]",
    threads: config["threads"]
    resources:
        slots=100,
    params:
        recipe=lambda wildcards: arguments(
            stage_of(wildcards),
            "chat",
            "shards",
            "sequences",
            "length",
            "states",
            "first-seed",
        ),
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
        samples=f"{STAGE}/samples/complete",
        earlier=earlier_draft,
    output:
        f"{STAGE}/draft/model.safetensors",
    log:
        f"results/{RUN}/logs/distill_draft-{{stage}}.log",
    wildcard_constraints:
        stage="[1-9]",
    threads: config["threads"]
    resources:
        slots=100,
    params:
        recipe=lambda wildcards: arguments(
            {**RECIPE, **stage_of(wildcards)},
            "layers",
            "vocabulary",
            "steps",
            "rate",
            "head-rate",
            "seed",
        ),
        earlier=lambda wildcards, input: [
            word
            for path in input.earlier
            for word in ("--start", path.rpartition("/")[0])
        ],
        target=subpath(input.target, parent=True),
        samples=subpath(input.samples, parent=True),
        folder=subpath(output[0], parent=True),
        code=code_hash("scripts/distill_draft.py"),
        libraries=libraries("scripts/distill_draft.py"),
    shell:
        "python scripts/distill_draft.py --target {params.target:q} --samples {params.samples:q}"
        " --output {params.folder:q} {params.earlier:q} {params.recipe:q} --threads {threads} 2>&1 | tee {log:q}"


rule distill_hidden_state_draft:
    input:
        target=f"{model_folder('target')}/MANIFEST.sha256",
        openings="dynatree/distillation/openings.yaml",
        samples=f"results/{RUN}/distillation/{len(STAGES)}/samples/complete",
    output:
        f"results/{RUN}/distillation/hidden_state_draft/model.safetensors",
    log:
        f"results/{RUN}/logs/distill_hidden_state_draft.log",
    threads: config["threads"]
    resources:
        slots=100,
    params:
        recipe=lambda wildcards: arguments(
            RECIPE["hidden_state_draft"],
            "layers",
            "vocabulary",
            "readings",
            "steps",
            "rate",
            "head-rate",
            "seed",
        ),
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
        f"results/{RUN}/distillation/{len(STAGES)}/draft/model.safetensors",
        (
            f"results/{RUN}/distillation/hidden_state_draft/model.safetensors"
            if "hidden_state_draft" in RECIPE
            else []
        ),
    localrule: True
