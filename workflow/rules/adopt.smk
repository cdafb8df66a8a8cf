# Copy the measurements of another run instead of measuring. The other rules stay the same.
rule adopt:
    input:
        f"{config['measured']}/{{file}}",
    output:
        f"results/{RUN}/{{file}}",
    log:
        f"results/{RUN}/logs/adopt/{{file}}.log",
    wildcard_constraints:
        file=r"(?:records|compression|arena)/[^/]+|tree\.json|latency\.csv|heads\.(?:json|csv)",
    localrule: True
    shell:
        "cp {input:q} {output:q} 2>{log:q}"
