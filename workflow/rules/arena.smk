# The target decodes the prompts of a data set once; any drafter is replayed on the recorded outputs without a model.
rule record_outputs:
    input:
        target=MODELS["target"],
        prompts=f"results/{RUN}/prompts/{{dataset}}.json",
    output:
        f"results/{RUN}/arena/{{dataset}}.npz",
    log:
        f"results/{RUN}/logs/record_outputs/{{dataset}}.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        **ALONE,
    params:
        prompts=lambda wildcards: arena_prompts(config, wildcards.dataset),
        new_tokens=config["arena"]["new_tokens"],
        where=arguments(config, "device", "dtype", "backend"),
        target=TARGET,
        code=code_hash("scripts/record_outputs.py"),
        libraries=libraries("scripts/record_outputs.py"),
    shell:
        "python scripts/record_outputs.py --dataset {wildcards.dataset:q} --count {params.prompts:q}"
        " --new-tokens {params.new_tokens:q} {params.where:q} {params.target:q} --prompts {input.prompts:q}"
        " --output {output:q} --threads {threads} >{log:q} 2>&1"


# Host times are measured, so nothing else runs meanwhile.
rule replay_outputs:
    input:
        recordings=expand(
            f"results/{RUN}/arena/{{dataset}}.npz", dataset=arena_datasets(config)
        ),
        latency=f"results/{RUN}/latency.csv",
        draft=MODELS["draft"],
    output:
        replay=f"results/{RUN}/arena/replay.csv",
        shapes=f"results/{RUN}/arena/shapes.csv",
    log:
        f"results/{RUN}/logs/replay_outputs.log",
    priority: MEASURE_FIRST
    threads: config["threads"]
    resources:
        slots=SLOTS,
    params:
        nodes=config["arena"]["nodes"],
        draft=subpath(input.draft, parent=True),
        code=code_hash("scripts/replay_outputs.py"),
        libraries=libraries("scripts/replay_outputs.py"),
    shell:
        "python scripts/replay_outputs.py --recordings {input.recordings:q} --latency {input.latency:q}"
        " --draft {params.draft:q} --nodes {params.nodes:q} --output {output.replay:q} --shapes {output.shapes:q} >{log:q} 2>&1"
