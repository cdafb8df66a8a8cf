# Archive a finished run as one file that others can verify. The rule `all` does not need it.
rule archive:
    input:
        records=expand(f"results/{RUN}/records/{{job}}.json", job=JOBS),
        memory=expand(
            f"results/{RUN}/records/memory-{{dataset}}.csv",
            dataset=config["experiments"]["memory"]["datasets"],
        ),
        compression=expand(
            f"results/{RUN}/compression/{{dataset}}.json",
            dataset=config["compression"]["datasets"],
        ),
        prompts=expand(
            f"results/{RUN}/prompts/{{dataset}}.json", dataset=config["prompts"]
        ),
        arena=expand(f"results/{RUN}/arena/{{name}}.csv", name=["replay", "shapes"]),
        tree=f"results/{RUN}/tree.json",
        heads=f"results/{RUN}/heads.json",
        made=lambda wildcards: rules.all.input,
    output:
        f"results/{RUN}.tar.gz",
    log:
        f"results/{RUN}/logs/archive.log",
    localrule: True
    params:
        config=literal(config),
        code=code_hash("scripts/archive.py"),
        libraries=libraries("scripts/archive.py"),
    shell:
        "python scripts/archive.py --config {params.config:q} --output {output:q} >{log:q} 2>&1"
