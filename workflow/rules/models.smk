rule fetch_model:
    output:
        manifest="resources/models/{model}/MANIFEST.sha256",
    log:
        "results/logs/fetch_model/{model}.log",
    retries: 2
    params:
        source=model_source,
        folder=subpath(output.manifest, parent=True),
        code=code_hash("scripts/fetch_model.py"),
        libraries=libraries("scripts/fetch_model.py"),
    shell:
        "python scripts/fetch_model.py --source {params.source:q} --output {params.folder:q} >{log:q} 2>&1"


# The weights of the target for llama.cpp.
rule export_gguf:
    input:
        "resources/models/{model}/MANIFEST.sha256",
    output:
        manifest="resources/gguf/{model}/MANIFEST.sha256",
    log:
        "results/logs/export_gguf/{model}.log",
    params:
        source=subpath(input[0], parent=True),
        folder=subpath(output.manifest, parent=True),
        code=code_hash("scripts/export_gguf.py"),
        libraries=libraries("scripts/export_gguf.py"),
    shell:
        "python scripts/export_gguf.py --source {params.source:q} --output {params.folder:q} >{log:q} 2>&1"
